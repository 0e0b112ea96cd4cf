"""An actor's footage as a library of texture: frames, their faces, and how they look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.matching import Looks, describe_looks
from metatalk.render.config import RenderConfig
from metatalk.render.scene import Scene
from metatalk.render.texture import Look, look_at
from metatalk.stages.artefacts import load_crop_plan, load_index, load_landmarks, open_crops


@dataclass(frozen=True, eq=False)
class Material:
    """All that texture is carried from; rows are those of the crops."""

    scene: Scene
    crops: LowerFaceCrops
    track: TrackCoefficients  # (N)
    transforms: np.ndarray  # (N, 2, 3) frame px to crop px
    rate: float  # frames a second
    looks: Looks
    blur: np.ndarray  # (N,)

    @property
    def frames(self) -> np.ndarray:
        """(N,) numbers of the crops' frames in the clip."""
        return np.arange(len(self.looks)) if self.crops.frames is None else self.crops.frames

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8: the crops of some rows."""
        return np.asarray(self.crops.real[rows])

    def look_at(self, rows: np.ndarray, threads: int | None = None) -> Look:
        """Rasterise the faces of some rows, to carry from."""
        track, transforms = self.track.take(rows), self.transforms[rows]
        mask = np.asarray(self.crops.mask[rows])
        return look_at(self.scene, track, transforms, mask, threads, weighted=False)


def open_material(
    inputs: Mapping[str, Path], crops: LowerFaceCrops, model: MorphableModel, config: RenderConfig
) -> Material:
    """Open an actor's footage as a library of texture.

    Args:
        inputs: folders of the actor's artefacts: ingest, fit and render.
        crops: from `open_dated_crops`.
        model: the face model that the fit is of.
        config: the settings that the crops were rendered with.

    Returns:
        The library.
    """
    person, track, camera = load_coefficients(inputs["fit"] / "coefficients.npz")
    size = load_crop_plan(inputs["render"] / "crops.json").size
    scene = Scene(model, person, camera, size, config.grow_px, config.backend)
    with np.load(inputs["render"] / "frames.npz", allow_pickle=False) as stored:
        frames, transforms, blur = stored["frames"], stored["transforms"], stored["blur"]
    filmed = track.take(frames)
    rate = float(load_index(inputs["ingest"] / "frames.npz").rate)
    looks = describe_looks(model, filmed)
    return Material(scene, crops, filmed, transforms[frames], rate, looks, blur)


def open_dated_crops(inputs: Mapping[str, Path]) -> LowerFaceCrops:
    """Map the rendered arrays, with the frames they are of and the shots these lie in."""
    with np.load(inputs["render"] / "frames.npz", allow_pickle=False) as stored:
        frames = stored["frames"]
    shots = load_landmarks(inputs["landmarks"] / "landmarks.npz").shots
    return replace(open_crops(inputs["render"]), frames=frames, shots=shots)
