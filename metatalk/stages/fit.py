"""Fit: the monocular reconstructor over one clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from metatalk.fitting.config import FitConfig
from metatalk.fitting.reconstruct import reconstruct
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures
from metatalk.morphable.coefficients import load_coefficients, save_coefficients
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.deep3d_start import guess_start
from metatalk.stages.device import choose_device, one_thread
from metatalk.stages.face_model import open_face_model
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics

FILE = "coefficients.npz"


def compute(
    inputs: Mapping[str, Path],
    config: FitConfig,
    out: Path,
    progress: Progress,
    *,
    landmarks: LandmarksConfig,
    device: str,
) -> Metrics:
    """Fit person and track; with an `actor` among the inputs only the track."""
    index, where = load_index(inputs["ingest"] / "frames.npz"), choose_device(device)
    info = probe_video(inputs["clip"])
    size, known = (info.width, info.height), inputs.get("actor")
    person = load_coefficients(known / FILE)[0] if known else None
    model = open_face_model(config.face_model, landmarks)
    points = load_landmarks(inputs["landmarks"] / "landmarks.npz")
    start = None
    if "deep3d" in inputs:
        clip, network = inputs["clip"], inputs["deep3d"]
        start = guess_start(network, clip, index, model, points, size, config, where).to(where)
    pictures, rate = read_pictures(inputs["clip"]), float(index.rate)
    with one_thread():
        found = reconstruct(
            model, points, pictures, size, rate, config, person, progress, where, start
        )
    save_coefficients(out / FILE, found.person, found.track, found.camera)
    np.savez(
        out / "errors.npz",
        landmark_error_mm=found.error_mm,
        colour_error=found.trust.colour_error,
        visible_share=found.trust.visible_share,
    )
    return {
        "landmark_error_mm": float(np.nanmean(found.error_mm)),
        "worst_frame": int(np.nanargmax(found.error_mm)),
        "worst_error_mm": float(np.nanmax(found.error_mm)),
        "confidence": float(found.track.confidence[found.track.has_face].mean()),
        "focal_px": found.camera.focal_px,
    }


READS = ("clip", "ingest", "landmarks", "face_model")
FIT = Stage(
    "fit", reads=READS, revision=2, compute=compute, section="fit", also=("landmarks", "device")
)
FIT_GUESSED = replace(FIT, reads=(*READS, "deep3d"))  # begun by the user's own network
FIT_TARGET = replace(FIT, reads=(*READS, "actor"))  # another clip of a known actor
