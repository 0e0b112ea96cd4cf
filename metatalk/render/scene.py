"""One actor before one camera: everything that is drawn of them, in crops that follow the head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.render.backend import choose_backend
from metatalk.render.crops import CropLayout, crop_transforms, measure_layout
from metatalk.render.lower_face import lower_face_mask, project_to_crop, render_lower_face
from metatalk.render.warp import CarryMap, carry_map

MASK_OPEN = 0.7  # of the widest: as wide as speech gets
GROWTH_AT_PX = 256  # the crop side at which `grow_px` is meant


@dataclass(frozen=True, eq=False)
class Scene:
    """A person, a camera and a crop: draws any rows of any track of theirs."""

    model: MorphableModel
    person: PersonCoefficients
    camera: Camera
    size: int  # side of the crops, px
    grow_px: int = 4  # of the mask, at a crop of 256 px
    backend: str = "auto"  # the rasteriser, see `backend.choose_backend`

    def __post_init__(self) -> None:
        choose_backend(self.backend)  # what is missing is told before the work

    @cached_property
    def albedo(self) -> Tensor:
        """(V, 3) RGB in [0, 1]."""
        return self.model.albedo(self.person.texture)

    @cached_property
    def drawn(self) -> Tensor:
        """Triangles of the synthetic lower face, the inside of the mouth included."""
        return self.model.region_triangles("lower_face", "lips", "inner_mouth")

    @cached_property
    def skin(self) -> Tensor:
        """Triangles of the lower face's skin: what a closed mouth shows."""
        return self.model.region_triangles("lower_face", "lips")

    @cached_property
    def occluders(self) -> Tensor:
        """Triangles that may hide the lower face but are not drawn."""
        drawn = torch.zeros(len(self.model.triangles), dtype=torch.bool)
        drawn[self.drawn] = True
        return (~drawn).nonzero().flatten()

    @cached_property
    def neutral(self) -> Tensor:
        """(V, 3) mm, model frame: the person's resting face."""
        return self.model.neutral(self.person.identity)

    @cached_property
    def wide(self) -> Tensor:
        """(V, 3) mm, model frame: the same with the mouth as wide open as speech gets."""
        opened = MASK_OPEN * self.model.open_mouth
        return self.model.shape(self.person.identity, opened)

    def anchors(self, track: TrackCoefficients) -> np.ndarray:
        """(T, A, 2) px: the resting lower face in each frame's pose; nan without a face."""
        resting = self.neutral[self.model.regions["lower_face"]]
        resting = resting[::4].expand(len(track), -1, -1)
        pixels = self.camera.project(transform_points(resting, track.rotation, track.translation))
        pixels[~track.has_face] = torch.nan
        return pixels.numpy()

    def measure_layout(self, track: TrackCoefficients, margin: float) -> CropLayout:
        """Where the actor's crops lie about the head, see `crops.measure_layout`."""
        return measure_layout(self.anchors(track), margin, track.rotation[:, 2].numpy())

    def transforms(
        self, track: TrackCoefficients, layout: CropLayout, steady_frames: float, shots: np.ndarray
    ) -> np.ndarray:
        """(T, 2, 3) frame px to crop px, see `crops.crop_transforms`."""
        return crop_transforms(
            self.anchors(track),
            self.size,
            steady_frames=steady_frames,
            shots=shots,
            roll_rad=track.rotation[:, 2].numpy(),
            layout=layout,
        )

    def vertices(self, track: TrackCoefficients) -> Tensor:
        """(T, V, 3) mm, camera frame."""
        basis = self.model.expression_basis
        shape = self.neutral + torch.tensordot(track.expression, basis, dims=1)
        return transform_points(shape, track.rotation, track.translation)

    def points(self, track: TrackCoefficients, transforms: np.ndarray) -> np.ndarray:
        """(T, V, 3) x and y in crop px, depth in mm."""
        return project_to_crop(self.vertices(track), self.camera, transforms)

    def synthetic(self, track: TrackCoefficients, transforms: np.ndarray) -> np.ndarray:
        """(T, S, S, 3) uint8: the shaded lower face on black."""
        return render_lower_face(
            self.vertices(track),
            self.albedo,
            track.lighting,
            self.model,
            self.camera,
            transforms,
            self.size,
            self.drawn,
            self.occluders,
            self.backend,
        )

    def mask(
        self, track: TrackCoefficients, transforms: np.ndarray, threads: int | None = None
    ) -> np.ndarray:
        """(T, S, S) uint8, 0 or 255: what any mouth of this head could cover."""
        closed, wide = (
            transform_points(shape, track.rotation, track.translation)
            for shape in (self.neutral, self.wide)
        )
        triangles = self.model.triangles.numpy()
        return lower_face_mask(
            closed,
            wide,
            triangles[self.skin.numpy()],
            self.camera,
            transforms,
            self.size,
            max(1, round(self.grow_px * self.size / GROWTH_AT_PX)),
            triangles[self.occluders.numpy()],
            self.backend,
            threads,
        )

    def carry(
        self, track: TrackCoefficients, filmed: TrackCoefficients, transforms: np.ndarray
    ) -> CarryMap:
        """Where in the filmed crop the skin of the new face lies.

        Args:
            track: (T) the face to be shown.
            filmed: (T) the face in the footage, in the same pose.
            transforms: (T, 2, 3) frame px to crop px.

        Returns:
            The map, in crop pixels; invalid inside the mouth and where skin was hidden.
        """
        # Nothing is carried into the mouth: what is seen there is not skin.
        skin = torch.cat((self.skin, self.occluders))
        return carry_map(
            self.points(track, transforms),
            self.points(filmed, transforms),
            self.model.triangles[skin].numpy(),
            self.size,
            self.size,
            self.size,
            backend=self.backend,
        )
