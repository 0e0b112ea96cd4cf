"""The face model that everything downstream is written against."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

REGIONS = (
    "skin", "face", "lips", "eyelids", "eyes", "inner_mouth", "teeth", "tongue", "lower_face",
)  # fmt: skip
OPENING_UNIT = "jawOpen"


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A linear face model: its sizes are read from here, never assumed.

    The model's frame is the camera's when the head looks into it: x right in the
    picture, y down, z away from the camera.
    """

    source: str  # which family of models this is: "anny", "bfm2009", ...
    terms: str  # the licence of the model, as it goes into ledgers
    mean: Tensor  # (V, 3) millimetres
    identity_basis: Tensor  # (I, V, 3) millimetres per standard deviation
    expression_basis: Tensor  # (E, V, 3) millimetres at full activation, or per standard deviation
    texture_mean: Tensor  # (V, 3) albedo, RGB in [0, 1]
    texture_basis: Tensor  # (X, V, 3) albedo per standard deviation
    triangles: Tensor  # (F, 3) int64, counter-clockwise seen from outside
    expression_names: tuple[str, ...]  # E names
    regions: dict[str, Tensor]  # name -> (V,) bool; all of REGIONS, empty where there is none
    landmark_triangles: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    landmark_weights: Tensor = field(default_factory=lambda: torch.zeros(0, 3))
    landmark_layout: str = ""  # the detector's layout that the embedding belongs to
    wide_open: Tensor = field(default_factory=lambda: torch.zeros(0))  # (E,) see `open_mouth`

    def __post_init__(self) -> None:
        sizes = check_shape("mean", self.mean, "V 3")
        for name in ("identity_basis", "expression_basis", "texture_basis"):
            check_shape(name, getattr(self, name), "N V 3", **sizes)
        check_shape("texture_mean", self.texture_mean, "V 3", **sizes)
        check_shape("triangles", self.triangles, "F 3")
        for name, region in self.regions.items():
            check_shape(f"region {name}", region, "V", **sizes)
        landmarks = check_shape("landmark_triangles", self.landmark_triangles, "L")["L"]
        check_shape("landmark_weights", self.landmark_weights, "L 3", L=landmarks)
        if len(self.wide_open):
            check_shape("wide_open", self.wide_open, "E", E=len(self.expression_basis))
        if len(self.expression_names) != len(self.expression_basis):
            raise ShapeError(
                f"{len(self.expression_names)} expression names for "
                f"{len(self.expression_basis)} expression modes"
            )

    @property
    def has_units(self) -> bool:
        """Whether expression is told in ARKit's units, 0 to 1, and not in statistical modes."""
        return OPENING_UNIT in self.expression_names

    @property
    def lower_units(self) -> Tensor:
        """(E,) bool: what speech drives: jaw, mouth, tongue and puffed cheeks.

        Statistical modes move the whole face together: speech drives all of them.
        """
        if not self.has_units:
            return torch.ones(len(self.expression_names), dtype=torch.bool)
        driven = ("jaw", "mouth", "tongue", "cheekPuff")
        return torch.tensor([name.startswith(driven) for name in self.expression_names])

    @property
    def open_mouth(self) -> Tensor:
        """(E,) the expression of a mouth as wide open as it gets; zeros where none is known."""
        if len(self.wide_open):
            return self.wide_open
        opened = torch.zeros(len(self.expression_names))
        if self.has_units:
            opened[self.expression_names.index(OPENING_UNIT)] = 1.0
        return opened

    def to(self, device: torch.device | str) -> MorphableModel:
        """The same model on another device."""
        moved = {name: v.to(device) for name, v in vars(self).items() if isinstance(v, Tensor)}
        regions = {name: region.to(device) for name, region in self.regions.items()}
        return replace(self, **moved, regions=regions)  # type: ignore[arg-type]

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Vertices of a person making a face.

        Args:
            identity: (..., I) standard deviations.
            expression: (..., E) activations; leading axes broadcast against identity's.

        Returns:
            (..., V, 3) millimetres, model frame.

        Raises:
            ShapeError: a coefficient vector has another length than its basis.
        """
        neutral = self.neutral(identity)
        check_shape("expression", expression, "... E", E=len(self.expression_basis))
        return neutral + torch.tensordot(expression, self.expression_basis, dims=1)

    def neutral(self, identity: Tensor) -> Tensor:
        """The person's resting face: (..., I) coefficients to (..., V, 3) millimetres.

        Raises:
            ShapeError: the coefficients are not as many as the identity modes.
        """
        check_shape("identity", identity, "... I", I=len(self.identity_basis))
        return self.mean + torch.tensordot(identity, self.identity_basis, dims=1)

    def albedo(self, texture: Tensor) -> Tensor:
        """The person's skin without light: (..., X) coefficients to (..., V, 3) RGB in [0, 1].

        Raises:
            ShapeError: the coefficients are not as many as the texture modes.
        """
        check_shape("texture", texture, "... X", X=len(self.texture_basis))
        albedo = self.texture_mean + torch.tensordot(texture, self.texture_basis, dims=1)
        return albedo.clamp(0.0, 1.0)

    def landmark_basis(self) -> tuple[Tensor, Tensor, Tensor]:
        """The parts of mean, identity and expression basis under the landmarks.

        Returns:
            (L, 3), (I, L, 3) and (E, L, 3), millimetres.
        """
        corners = self.triangles[self.landmark_triangles]  # (L, 3)
        weights = self.landmark_weights.unsqueeze(-1)  # (L, 3, 1)
        take = lambda basis: (basis[..., corners, :] * weights).sum(-2)  # noqa: E731
        return take(self.mean), take(self.identity_basis), take(self.expression_basis)

    def region_triangles(self, *names: str) -> Tensor:
        """(F',) numbers of the triangles whose three corners lie in one of the named regions."""
        inside = torch.stack([self.regions[name] for name in names]).any(0)
        return inside[self.triangles].all(-1).nonzero().flatten()


def save_model(path: Path, model: MorphableModel) -> None:
    """Write a face model as `.npz` without pickle."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in vars(model).items():
        if isinstance(value, Tensor):
            arrays[name] = value.numpy()
        elif name == "regions":
            arrays |= {f"region_{key}": mask.numpy() for key, mask in value.items()}
        else:
            arrays[name] = np.array(value)
    np.savez_compressed(path, **arrays)


def load_model(path: Path) -> MorphableModel:
    """Read a face model that `save_model` wrote.

    Raises:
        ShapeError: the file is not such a model.
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    regions = {
        name.removeprefix("region_"): torch.from_numpy(arrays.pop(name))
        for name in list(arrays)
        if name.startswith("region_")
    }
    try:
        words = {name: str(arrays.pop(name)) for name in ("source", "terms", "landmark_layout")}
        units = tuple(str(unit) for unit in arrays.pop("expression_names"))
        tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
        return MorphableModel(**tensors, **words, expression_names=units, regions=regions)  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise ShapeError(f"{path} does not hold a face model: {error}") from error
