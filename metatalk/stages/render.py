"""Render: stabilised crops of the footage, the synthetic lower face and the mask."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from metatalk.errors import FittingError
from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.video import read_pictures
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.matching import measure_blur
from metatalk.render.config import RenderConfig
from metatalk.render.crops import crop_sides, warp_to_crop
from metatalk.render.scene import Scene
from metatalk.stages.artefacts import CropPlan, create_crops, load_landmarks, save_crop_plan
from metatalk.stages.face_model import open_face_model
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics

LOG = logging.getLogger(__name__)
BATCH = 16


def compute(
    inputs: Mapping[str, Path],
    config: RenderConfig,
    out: Path,
    progress: Progress,
    *,
    fit: FitConfig,
    landmarks: LandmarksConfig,
) -> Metrics:
    """Fill the memory-mapped arrays that the neural renderer learns from."""
    person, track, camera = load_coefficients(inputs["fit"] / "coefficients.npz")
    frames = choose_frames(track, config.max_frames)
    shots = load_landmarks(inputs["landmarks"] / "landmarks.npz").shots
    model = open_face_model(fit.face_model, landmarks)
    measuring = Scene(model, person, camera, 1, backend=config.backend)
    layout = measuring.measure_layout(track, config.margin)
    sides = crop_sides(measuring.transforms(track, layout, config.steady_frames, shots), 1)
    side_px = float(np.nanmedian(sides[track.has_face.numpy()]))
    size = config.choose_size(side_px)
    if remark := config.explain_size(side_px):
        LOG.warning("%s", remark)
    scene = Scene(model, person, camera, size, config.grow_px, config.backend)
    save_crop_plan(out / "crops.json", CropPlan(size, layout))
    transforms = scene.transforms(track, layout, config.steady_frames, shots)
    crops = create_crops(out, len(frames), size)
    _cut_footage(inputs["clip"], crops, frames, transforms, progress)
    _draw(scene, crops, track.take(frames), transforms[frames])
    # Measured once: the renderer takes texture from sharp frames, and every drive asks for it.
    blur = measure_blur(crops.real, crops.mask)
    np.savez(out / "frames.npz", frames=frames, transforms=transforms, blur=blur)
    return {"frames": len(frames), "crop_px": size, "face_crop_px": side_px,
            "crop_scale": size / side_px}  # fmt: skip


def choose_frames(track: TrackCoefficients, most: int | None) -> np.ndarray:
    """Choose frames whose fit is trusted; where there are more than wanted, pairs of neighbours.

    The pairs are spread evenly. Neighbours are kept together because the renderer also learns
    what changes from a frame to the next.

    Args:
        track: the fit.
        most: how many are wanted at most; None: all.

    Returns:
        (N,) ascending frame numbers.

    Raises:
        FittingError: no frame's fit is trusted.
    """
    frames = np.flatnonzero(track.is_trusted.numpy())
    if not len(frames):
        raise FittingError(
            "the fit of no frame can be trusted, so there is nothing to learn from",
            "look at it: metatalk fit CLIP; give footage of an uncovered face",
        )
    if most is None or len(frames) <= most:
        return frames
    if most < 2:
        return frames[:most]
    firsts = np.linspace(0, len(frames) - 2, most // 2).round().astype(int)
    return frames[np.unique(np.concatenate([firsts, firsts + 1]))]


def _cut_footage(
    clip: Path,
    crops: LowerFaceCrops,
    frames: np.ndarray,
    transforms: np.ndarray,
    progress: Progress,
) -> None:
    row = 0
    for picture in read_pictures(clip):
        if row < len(frames) and picture.index == frames[row]:
            crops.real[row] = warp_to_crop(picture.rgb(), transforms[picture.index], crops.size)
            row += 1
            progress(row, len(frames))


def _draw(
    scene: Scene, crops: LowerFaceCrops, track: TrackCoefficients, transforms: np.ndarray
) -> None:
    for start in range(0, len(track), BATCH):
        rows = np.arange(start, min(start + BATCH, len(track)))
        part = track.take(rows)
        crops.synthetic[rows] = scene.synthetic(part, transforms[rows])
        crops.mask[rows] = scene.mask(part, transforms[rows])


RENDER = Stage(
    "render",
    reads=("clip", "landmarks", "fit", "face_model"),
    revision=4,
    compute=compute,
    section="render",
    also=("fit", "landmarks"),
)
