"""Landmarks: where the actor's face is in every frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import track_landmarks
from metatalk.media.video import read_pictures
from metatalk.stages.artefacts import load_index, save_landmarks
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics


def compute(
    inputs: Mapping[str, Path], config: LandmarksConfig, out: Path, progress: Progress
) -> Metrics:
    """Track one face through the clip."""
    index = load_index(inputs["ingest"] / "frames.npz")
    pictures = (picture.rgb() for picture in read_pictures(inputs["clip"]))

    def report(done: int, total: int | None, note: str) -> None:
        progress(done, total or len(index), note)

    track = track_landmarks(pictures, float(index.rate), config, report)
    save_landmarks(out / "landmarks.npz", track)
    return {
        "face_share": float(track.has_face.mean()),
        "interpolated_frames": int((track.state == 2).sum()),
        "faceless_frames": int((track.state == 0).sum()),
        "shots": len(track.shots),
    }


LANDMARKS = Stage(
    "landmarks", reads=("clip", "ingest"), revision=1, compute=compute, section="landmarks"
)
