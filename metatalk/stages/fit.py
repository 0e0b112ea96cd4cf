"""Fit: the monocular reconstructor over one clip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from metatalk.fitting.config import FitConfig
from metatalk.fitting.reconstruct import reconstruct
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures
from metatalk.morphable.coefficients import load_coefficients, save_coefficients
from metatalk.stages.artefacts import load_index, load_landmarks
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
) -> Metrics:
    """Fit person and track; with an `actor` among the inputs only the track."""
    index = load_index(inputs["ingest"] / "frames.npz")
    info = probe_video(inputs["clip"])
    known = inputs.get("actor")
    person = load_coefficients(known / FILE)[0] if known else None
    found = reconstruct(
        open_face_model(config.face_model, landmarks),
        load_landmarks(inputs["landmarks"] / "landmarks.npz"),
        read_pictures(inputs["clip"]),
        (info.width, info.height),
        float(index.rate),
        config,
        person,
        progress,
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
FIT = Stage("fit", reads=READS, revision=1, compute=compute, section="fit", also=("landmarks",))
FIT_TARGET = Stage(  # another clip of a known actor
    "fit", reads=(*READS, "actor"), revision=1, compute=compute, section="fit", also=("landmarks",)
)
