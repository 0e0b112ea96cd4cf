"""Deep3DFaceRecon's 257 numbers a frame, and our coefficients for them.

Both stand on the same Basel Face Model 2009, in frames that differ by half a turn about x: theirs
has y up, z towards the viewer and decimetres, with the mean face's centroid as origin; ours has
y down, z away and millimetres, with the point between the eyes as origin. No number is lost on
the way: a face model read from `BFM_model_front.mat` keeps its modes, their order and their scale.

A row holds identity 80, expression 64, texture 80, angles 3, light 27, translation 3.

Source: Deng et al. 2019 (Deep3DFaceRecon), as published for PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.io
import torch
from torch import Tensor

from metatalk.errors import ConfigError, MissingAssetError, ShapeError
from metatalk.morphable.basel_2009 import MM_PER_DM, SOURCE
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.deep3d_crop import CROP_CAMERA, frame_to_crop, model_crops
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import SMALLEST_LENGTH, triangle_normals
from metatalk.morphable.placement import HALF_TURN
from metatalk.morphable.pose import euler_to_matrix
from metatalk.shapes import check_shape

PARTS = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
LENGTH = sum(PARTS.values())
CAMERA_DM = 10.0  # the camera stands so far before the origin of their frame
AMBIENT = 0.8  # what their light has in its first function where the coefficients say zero
# Their functions of a normal over ours of the same normal. The factor is the cosine lobe's, which
# stands in their functions and in our light; the sign is of their functions and of the half turn.
_LOBES = (math.pi, 2 * math.pi / math.sqrt(3), 2 * math.pi / math.sqrt(8))
_LIGHT_SIGNS = (1, 1, -1, -1, -1, -1, 1, 1, 1)
_LIGHT_LOBES = (0, 1, 1, 1, 2, 2, 2, 2, 2)
# What scipy and numpy raise at a stranger's or a damaged file.
_UNREADABLE = (
    KeyError, ValueError, TypeError, NotImplementedError, OSError, EOFError,
    scipy.io.matlab.MatReadError, ShapeError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Deep3DFrame:
    """Where our model frame's origin lies in theirs."""

    origin_dm: Tensor  # (3,) float64: the point between the eyes, in the centred file's axes

    def __post_init__(self) -> None:
        check_shape("origin_dm", self.origin_dm, "3")

    def to_ours(self, angles: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Restate poses of theirs as ours in `CROP_CAMERA`.

        Args:
            angles: (T, 3) radians about their axes.
            translation: (T, 3) decimetres, their frame.

        Returns:
            (T, 3) Euler angles XYZ, radians, and (T, 3) mm, camera frame.
        """
        turn = angles.new_tensor(HALF_TURN)
        middle = translation + self._turned_origin(angles)  # of the eyes, decimetres
        place = MM_PER_DM * turn * middle
        return turn * angles, place + place.new_tensor((0.0, 0.0, MM_PER_DM * CAMERA_DM))

    def to_theirs(self, rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Restate poses of ours in `CROP_CAMERA` as theirs: the inverse of `to_ours`."""
        turn = rotation.new_tensor(HALF_TURN)
        angles = turn * rotation
        away = translation - translation.new_tensor((0.0, 0.0, MM_PER_DM * CAMERA_DM))
        return angles, turn * away / MM_PER_DM - self._turned_origin(angles)

    def _turned_origin(self, angles: Tensor) -> Tensor:
        return euler_to_matrix(angles) @ self.origin_dm.to(angles)


def deep3d_frame(model: MorphableModel) -> Deep3DFrame:
    """Find where a face model's origin lies in Deep3D's frame.

    Their origin is the mean face's centroid, and that can be read off the model.

    Args:
        model: read from `BFM_model_front.mat` or from the files that this is made of.

    Returns:
        The frame.

    Raises:
        ConfigError: the model is another one.
    """
    check_deep3d_model(model)
    centroid = model.mean.double().mean(0)
    return Deep3DFrame(-centroid * centroid.new_tensor(HALF_TURN) / MM_PER_DM)


def check_deep3d_model(model: MorphableModel) -> None:
    """Refuse face models that Deep3D's coefficients are not about.

    Raises:
        ConfigError: the model is not the Basel Face Model 2009 with 80/64/80 modes.
    """
    modes = (len(model.identity_basis), len(model.expression_basis), len(model.texture_basis))
    if model.source == SOURCE and modes == (PARTS["id"], PARTS["exp"], PARTS["tex"]):
        return
    raise ConfigError(
        f"Deep3DFaceRecon's coefficients are about the Basel Face Model 2009 with 80/64/80 modes, "
        f"not about {model.source} with {'/'.join(map(str, modes))}",
        "fit with fit.face_model=bfm2009, or export in another format",
    )


def read_deep3d(
    vectors: Tensor, model: MorphableModel
) -> tuple[PersonCoefficients, TrackCoefficients, Camera]:
    """Read Deep3D's coefficients of a clip.

    Args:
        vectors: (T, 257).
        model: the Basel Face Model 2009.

    Returns:
        The person, averaged over the frames as `average_person` says; the track; and
        `CROP_CAMERA`, the camera of the 224-pixel crops. Poses in the clip's own camera:
        `deep3d_crop.crop_to_frame`.

    Raises:
        ShapeError: not vectors of 257.
        ConfigError: the model is another one.
    """
    frames = check_shape("vectors", vectors, "T N", N=LENGTH)["T"]
    frame, parts = deep3d_frame(model), split_vectors(vectors)
    rotation, translation = frame.to_ours(parts["angle"], parts["trans"])
    track = TrackCoefficients(
        expression=parts["exp"],
        rotation=rotation,
        translation=translation,
        lighting=gamma_to_lighting(parts["gamma"]),
        confidence=torch.ones(frames, dtype=vectors.dtype, device=vectors.device),
    )
    return average_person(vectors), track, CROP_CAMERA


def write_deep3d(
    model: MorphableModel, person: PersonCoefficients, track: TrackCoefficients
) -> Tensor:
    """Write a clip that is posed in `CROP_CAMERA` as Deep3D's coefficients: exact.

    Args:
        model: the Basel Face Model 2009.
        person: the actor.
        track: T frames.

    Returns:
        (T, 257) of the track's precision; every row has the same identity and texture.

    Raises:
        ConfigError: the model is another one.
    """
    frames = len(track)
    angles, translation = deep3d_frame(model).to_theirs(track.rotation, track.translation)
    identity = person.identity.expand(frames, -1)
    texture = person.texture.expand(frames, -1)
    gamma = lighting_to_gamma(track.lighting)
    return torch.cat((identity, track.expression, texture, angles, gamma, translation), 1)


def coefficients_to_deep3d(
    model: MorphableModel, person: PersonCoefficients, track: TrackCoefficients, camera: Camera
) -> Tensor:
    """Write a reconstruction in any camera as Deep3D's coefficients.

    Args:
        model: the Basel Face Model 2009.
        person: the actor.
        track: T frames.
        camera: the camera that they are posed in. In `CROP_CAMERA` the numbers are exact; from
            any other, each frame is posed anew in the standard crop about its face, as
            `deep3d_crop.frame_to_crop` says.

    Returns:
        (T, 257) float32.

    Raises:
        ConfigError: the model is another one.
    """
    check_deep3d_model(model)
    if camera != CROP_CAMERA:
        crops = model_crops(model, person, track, camera)
        track, _ = frame_to_crop(model, person, track, crops, camera)
    doubled = replace(track, **{name: value.double() for name, value in vars(track).items()})
    return write_deep3d(model, person, doubled).float()


def average_person(vectors: Tensor) -> PersonCoefficients:
    """Take the person out of every frame's own opinion: the mean over the frames.

    Deep3D guesses identity and texture anew in each frame. Where the frames agree, this is
    exact; where not, the vertices of a frame are no longer quite those of its vector.

    Args:
        vectors: (T, 257), T at least 1.

    Returns:
        The person.

    Raises:
        ShapeError: not vectors of 257, or none.
    """
    frames = check_shape("vectors", vectors, "T N", N=LENGTH)["T"]
    if not frames:
        raise ShapeError("vectors: no frame to take a person from")
    parts = split_vectors(vectors.double())
    mean = {name: parts[name].mean(0).to(vectors.dtype) for name in ("id", "tex")}
    return PersonCoefficients(identity=mean["id"], texture=mean["tex"])


def split_vectors(vectors: Tensor) -> dict[str, Tensor]:
    """Cut (..., 257) into its parts by the tool's own names: id, exp, tex, angle, gamma, trans.

    Raises:
        ShapeError: not vectors of 257.
    """
    check_shape("vectors", vectors, "... N", N=LENGTH)
    return dict(zip(PARTS, vectors.split(list(PARTS.values()), -1), strict=True))


def gamma_to_lighting(gamma: Tensor) -> Tensor:
    """Restate Deep3D's light as ours.

    Args:
        gamma: (..., 27) nine numbers for R, then G, then B.

    Returns:
        (..., 3, 9) so that `sh_basis(normals) @ lighting^T` is what their functions of the same
        normals in their axes give. Only the albedo may differ: ours ends at 0 and 1, theirs
        does not.

    Raises:
        ShapeError: not 27 numbers.
    """
    check_shape("gamma", gamma, "... N", N=PARTS["gamma"])
    light = gamma.unflatten(-1, (3, 9))
    return (light + _ambient(light)) * _light_factors(light)


def lighting_to_gamma(lighting: Tensor) -> Tensor:
    """Restate our light as Deep3D's: the inverse of `gamma_to_lighting`, (..., 3, 9) to (..., 27).

    Raises:
        ShapeError: not nine numbers for three colours.
    """
    check_shape("lighting", lighting, "... 3 9")
    return (lighting / _light_factors(lighting) - _ambient(lighting)).flatten(-2)


def incident_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Average the unit normals of the triangles around each vertex: Deep3D's normals.

    Args:
        vertices: (..., V, 3) any length unit.
        triangles: (F, 3) corner numbers, counter-clockwise seen from outside.

    Returns:
        (..., V, 3) unit vectors in the frame of the vertices; zero where there is no triangle.

    Raises:
        ShapeError: an argument is not shaped as documented.

    Source: Deng et al. 2019; `morphable.normals.vertex_normals` weights by area instead.
    Departs: their file lists at most eight triangles a vertex; here all count.
    """
    faces = _unit(triangle_normals(vertices, triangles))
    total = torch.zeros_like(vertices)
    for corner in triangles.long().unbind(-1):
        total = total.index_add(-2, corner, faces)
    return _unit(total)


def save_deep3d_mat(path: Path, vectors: Tensor | np.ndarray) -> None:
    """Write coefficients as the tool does: one matrix a part, here with a row for every frame.

    Args:
        path: the file, written under exactly this name.
        vectors: (T, 257).

    Raises:
        ShapeError: not vectors of 257.
    """
    values = torch.as_tensor(vectors)
    check_shape("vectors", values, "T N", N=LENGTH)
    parts = {name: part.float().cpu().numpy() for name, part in split_vectors(values).items()}
    scipy.io.savemat(path, parts, appendmat=False)


def load_deep3d_mat(path: Path) -> Tensor:
    """Read coefficients that the tool or `save_deep3d_mat` wrote.

    Args:
        path: a `.mat` file of matrices id, exp, tex, angle, gamma and trans with one row or T;
            or a `.npy` file of (T, 257) or (257,) numbers; or a folder of one-frame `.mat`
            files, taken in the order of their names.

    Returns:
        (T, 257) float32.

    Raises:
        MissingAssetError: there is no such file, or the folder has none.
        ShapeError: the file is not of such a kind.
    """
    if path.is_dir():
        files = sorted(path.glob("*.mat"))
        if not files:
            raise MissingAssetError(f"{path} holds no .mat file", "give Deep3DFaceRecon's output")
        return torch.cat([load_deep3d_mat(file) for file in files])
    if not path.is_file():
        raise MissingAssetError(f"there is no file {path}", "give Deep3DFaceRecon's output")
    try:
        if path.suffix == ".npy":
            vectors = np.atleast_2d(np.load(path, allow_pickle=False))
        else:
            vectors = _join_parts(scipy.io.loadmat(path, appendmat=False))
        found = torch.from_numpy(vectors.astype(np.float32))
        check_shape("vectors", found, "T N", N=LENGTH)
    except _UNREADABLE as error:
        raise ShapeError(
            f"{path} does not hold Deep3DFaceRecon's coefficients: {error}",
            "give the .mat file that its test program writes (id, exp, tex, angle, gamma, trans)",
        ) from error
    return found


def _join_parts(parts: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 257) of the tool's matrices, each checked, so that none is taken for another."""
    columns = [np.atleast_2d(parts[name]) for name in PARTS]
    for (name, size), column in zip(PARTS.items(), columns, strict=True):
        check_shape(name, column, "T N", T=len(columns[0]), N=size)
    return np.concatenate(columns, 1)


def _light_factors(like: Tensor) -> Tensor:
    """(9,) what our functions are multiplied by to be theirs."""
    return like.new_tensor(
        [sign * _LOBES[lobe] for sign, lobe in zip(_LIGHT_SIGNS, _LIGHT_LOBES, strict=True)]
    )


def _ambient(like: Tensor) -> Tensor:
    return like.new_tensor([AMBIENT] + 8 * [0.0])


def _unit(vectors: Tensor) -> Tensor:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(
        SMALLEST_LENGTH
    )
