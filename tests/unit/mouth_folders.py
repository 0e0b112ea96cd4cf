"""Artefacts of the toy head's footage on disk: what the stages before the renderer leave."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from face_toys import CAMERA
from mouth_toys import PERSON, mouth_model, speaking

from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.coefficients import TrackCoefficients, save_coefficients
from metatalk.neural.matching import measure_blur
from metatalk.render.config import RenderConfig
from metatalk.render.scene import Scene
from metatalk.stages.artefacts import (
    CropPlan,
    create_crops,
    save_crop_plan,
    save_index,
    save_landmarks,
)
from metatalk.stages.render import RENDER
from metatalk.stages.train_renderer import TRAIN_RENDERER
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.manifest import Cause

RATE = 10
GROW_PX = 6
MARGIN = 0.1
REVISIONS = {stage.name: stage.revision for stage in (RENDER, TRAIN_RENDERER)}


def mouth_render(size: int) -> RenderConfig:
    """The settings that the toy crops are rendered with."""
    return RenderConfig(
        sizes=(size,), margin=MARGIN, steady_frames=0.0, grow_px=GROW_PX, backend="numba"
    )


def fill_actor(
    root: Path, size: int, frames: int, kept: np.ndarray | None = None
) -> tuple[Scene, TrackCoefficients]:
    """Make ingest, landmarks, fit and render of the toy head speaking.

    Args:
        root: the actor folder.
        size: of the crops, px.
        frames: how many are filmed.
        kept: (N,) those that are rendered; None: all.

    Returns:
        The scene, and the (frames) filmed faces.
    """
    scene = Scene(mouth_model(), PERSON, CAMERA, size, GROW_PX, "numba")
    track = speaking(frames)
    folder = ActorFolder(root)
    index = FrameIndex(np.arange(frames), Fraction(1, RATE), Fraction(RATE))
    leave(folder, "ingest", lambda out: save_index(out / "frames.npz", index))
    marks = toy_landmarks(frames)
    leave(folder, "landmarks", lambda out: save_landmarks(out / "landmarks.npz", marks))
    leave(
        folder,
        "fit",
        lambda out: save_coefficients(out / "coefficients.npz", PERSON, track, scene.camera),
    )
    rows = np.arange(frames) if kept is None else kept
    leave(folder, "render", lambda out: _film(out, scene, track, rows))
    return scene, track


def leave(folder: ActorFolder, stage: str, write: Callable[[Path], None]) -> None:
    """Make one artefact, in place of an older one."""
    cause = Cause(stage, REVISIONS.get(stage, 1), {}, {})
    write(folder.begin(cause, resume=False))
    folder.finish(cause, {}, 0.0)


def toy_landmarks(frames: int) -> LandmarkTrack:
    """Landmarks of one shot, all seen, all in one place."""
    return LandmarkTrack(
        np.zeros((frames, 478, 3), np.float32),
        np.ones(frames, np.float32),
        np.ones(frames, np.uint8),
        np.array([[0, frames]]),
        "mediapipe478",
    )


def _film(out: Path, scene: Scene, track: TrackCoefficients, rows: np.ndarray) -> None:
    """Footage is the synthetic face, darker, with a grain that stays on the picture."""
    layout, shots = scene.measure_layout(track, MARGIN), np.array([[0, len(track)]])
    transforms = scene.transforms(track, layout, 0.0, shots)
    crops, filmed = create_crops(out, len(rows), scene.size), track.take(rows)
    crops.synthetic[:] = scene.synthetic(filmed, transforms[rows])
    grain = np.random.default_rng(0).integers(0, 60, crops.real.shape[1:], np.uint8)
    crops.real[:] = crops.synthetic // 2 + grain
    crops.mask[:] = scene.mask(filmed, transforms[rows])
    blur = measure_blur(crops.real, crops.mask)
    np.savez(out / "frames.npz", frames=rows, transforms=transforms, blur=blur)
    save_crop_plan(out / "crops.json", CropPlan(scene.size, layout))
