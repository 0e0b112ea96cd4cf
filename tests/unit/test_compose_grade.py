"""Footage in another grade: told from another light, brought to the actor's colours and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.grade import (
    Grade,
    ShotGrades,
    bring_all,
    compare_faces,
    differs,
    grade_shots,
    relight_all,
    take_all_back,
)
from metatalk.compose.grade_config import GradeConfig
from metatalk.compose.grade_skin import LUMA, FaceColours, read_face, usual_colours
from metatalk.compose.grade_transfer import HLG, PQ, SDR, convert_codes, kind_of_transfer
from metatalk.errors import ConfigError, ShapeError
from metatalk.morphable.coefficients import TrackCoefficients

CONFIG = GradeConfig()
PLACES = 400


def face(seed: int = 0) -> np.ndarray:
    """(K, 3) skin, redder lips and a few dark places."""
    random = np.random.default_rng(seed)
    skin = np.array([0.72, 0.52, 0.42]) * random.uniform(0.75, 1.1, (PLACES, 1))
    skin += random.normal(0, 0.01, (PLACES, 3))
    skin[:60] = np.array([0.62, 0.33, 0.32]) * random.uniform(0.8, 1.1, (60, 1))
    skin[60:80] *= 0.4
    return skin.clip(0, 1).astype(np.float32)


def seen(colours: np.ndarray, dark: float = 0.05) -> FaceColours:
    return FaceColours(colours.astype(np.float32), np.full(3, dark, np.float32))


def flat(colours: np.ndarray) -> np.ndarray:
    """Half of the contrast, nearly half of the colour, as log footage looks."""
    luma = (colours @ LUMA)[..., None]
    return (0.25 + 0.5 * luma + 0.45 * (colours - luma)).astype(np.float32)


def grey(colours: np.ndarray) -> np.ndarray:
    return np.repeat((colours @ LUMA)[..., None], 3, -1).astype(np.float32)


def learn(shot: FaceColours, transfers: tuple[int, int] = (SDR, SDR)) -> Grade:
    found = compare_faces(shot, seen(face()), transfers)
    assert found is not None
    assert differs(found[1], CONFIG)
    return found[0]


def test_flat_footage_is_undone_and_made_again() -> None:
    grade = learn(seen(flat(face()), dark=0.275))
    assert grade.saturation == pytest.approx(0.45, abs=0.01)
    brought = grade.bring(np.rint(flat(face()) * 255).astype(np.uint8)) / 255
    np.testing.assert_allclose(brought, face(), atol=0.02)
    np.testing.assert_allclose(grade.take_back(face()), flat(face()), atol=0.006)


def test_shadows_below_the_skin_have_a_slope_of_their_own() -> None:
    """The inside of a mouth in log footage is not as grey as the skin's line would have it."""
    dark, deep = 0.12, np.full((1, 3), 0.05, np.float32)
    bent = learn(seen(flat(face()), dark)).take_back(deep)
    np.testing.assert_allclose(bent, dark, atol=0.02)
    plain = learn(seen(flat(face()), 0.275)).take_back(deep)
    np.testing.assert_allclose(plain, 0.275, atol=0.02)


def test_black_and_white_stays_colourless_to_the_last_bit() -> None:
    grade = learn(seen(grey(face())))
    assert grade.saturation == 0
    drawn = np.random.default_rng(1).uniform(0, 1, (50, 3)).astype(np.float32)
    made = grade.take_back(drawn)
    np.testing.assert_allclose(made, made[:, :1].repeat(3, 1), atol=1e-6)
    codec = grey(face()) + np.random.default_rng(2).normal(0, 0.004, (PLACES, 3))
    noisy = np.rint(codec.clip(0, 1) * 255).astype(np.uint8)
    brought, clean = (
        grade.bring(codes).astype(float) / 255
        for codes in (noisy, np.rint(grey(face()) * 255).astype(np.uint8))
    )
    red = [colours[:, 0] - colours @ LUMA for colours in (brought, clean)]
    assert (red[0] - red[1]).std() < 0.013  # 0.004, raised by no more than the bound
    assert np.median(brought[:, 0] - brought[:, 2]) == pytest.approx(0.25, abs=0.06)  # as skin has


@pytest.mark.parametrize("by_luma", [False, True])
def test_a_tint_on_grey_is_kept(by_luma: bool) -> None:
    """Teeth, brighter than all of the skin, have as much of it as bright things have there."""
    tint = np.array([1.08, 0.98, 0.78] if by_luma else [0.06, 0.0, -0.09], np.float32)
    grade_of = lambda codes: grey(codes) * tint if by_luma else grey(codes) + tint  # noqa: E731
    grade = learn(seen(grade_of(face())))
    assert grade.saturation == 0
    teeth = np.array([[0.85, 0.82, 0.76]], np.float32)
    for colours in (face(), teeth):
        np.testing.assert_allclose(grade.take_back(colours), grade_of(colours), atol=0.02)


@given(st.floats(-0.4, 0.4), st.floats(0.9, 1.1), st.floats(-0.03, 0.03), st.integers(10, 15))
def test_another_light_is_no_other_grade(
    side: float, exposure: float, warmth: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shading = np.exp(side * random.uniform(-0.5, 0.5, (PLACES, 1)))
    lit = face() * exposure * shading + np.array([warmth, 0, -warmth])
    found = compare_faces(seen(lit.clip(0, 1)), seen(face()))
    assert found is not None
    assert not differs(found[1], CONFIG)


def test_shading_hides_contrast_but_never_makes_it_up() -> None:
    """Strong side light spreads the luma as a contrasty grade would; it is not taken for one."""
    shading = np.random.default_rng(3).uniform(0.5, 1.3, (PLACES, 1))
    found = compare_faces(seen((face() * shading).clip(0, 1)), seen(face()))
    assert found is not None
    assert found[1].contrast == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_face_half_in_shadow_is_compared(seed: int) -> None:
    """No place stands out where half of them lie above the line and half below it."""
    skin = face(seed)[80:]  # without the dark places, which lie on the line
    shading = np.where(np.arange(len(skin)) % 2, 0.5, 1.25)[:, None]
    found = compare_faces(seen((skin * shading).clip(0, 1)), seen(skin))
    assert found is not None
    assert found[1].brightness == pytest.approx(-0.125 * (skin @ LUMA).mean(), abs=0.02)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("levels", [(0.85, 1.1), (1.1, 0.85)])
def test_a_face_a_little_in_shadow_is_in_the_actors_grade(
    levels: tuple[float, float], seed: int
) -> None:
    shading = np.where(np.arange(PLACES) % 2, *levels)[:, None]
    found = compare_faces(seen((face(seed) * shading).clip(0, 1)), seen(face(seed)))
    assert found is not None
    assert not differs(found[1], CONFIG)


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.08, 0.98, 0.78)])
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_a_colourless_actor_is_in_the_grade_of_its_own_footage(
    tint: tuple[float, float, float], noise: float
) -> None:
    actor = grey(face()) * np.array(tint, np.float32)
    shot = actor + np.random.default_rng(4).normal(0, noise, actor.shape)
    found = compare_faces(seen(shot), seen(actor))
    assert found is not None
    assert not differs(found[1], CONFIG)
    coloured = compare_faces(seen(actor), seen(face()))
    assert coloured is not None
    assert coloured[1].saturation == 0  # the actor has a colour here


@pytest.mark.parametrize("kind", [PQ, HLG])
def test_hdr_is_met_by_its_own_formula(kind: int) -> None:
    codes = convert_codes(face(), SDR, kind)
    grade = learn(
        seen(codes, dark=float(convert_codes(np.full(3, 0.05), SDR, kind)[0])), (kind, SDR)
    )
    np.testing.assert_allclose(grade.take_back(face()), codes, atol=0.004)
    brought = grade.bring(np.rint(codes * 255).astype(np.uint8)) / 255
    np.testing.assert_allclose(brought, face(), atol=0.035)


def test_hdr_codes_are_those_of_the_standards() -> None:
    """White of ordinary video is 203 cd/m2: 58 % of PQ and 75 % of HLG, ITU-R BT.2408 table 1."""
    white = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(convert_codes(white, SDR, PQ), 0.58, atol=0.003)
    np.testing.assert_allclose(convert_codes(white, SDR, HLG), 0.75, atol=0.003)
    assert [kind_of_transfer(number) for number in (1, 2, 14, 16, 18)] == [SDR, SDR, SDR, PQ, HLG]


@given(st.sampled_from([PQ, HLG]), st.lists(st.floats(0.02, 1), min_size=3, max_size=3))
def test_ordinary_codes_survive_the_way_through_hdr(kind: int, colour: list[float]) -> None:
    codes = np.array([colour], np.float32)
    there = convert_codes(codes, SDR, kind)
    np.testing.assert_allclose(convert_codes(there, kind, SDR), codes, atol=2e-3)


def test_one_transfer_is_left_alone() -> None:
    codes = face()
    assert convert_codes(codes, PQ, PQ) is codes


def test_light_is_scaled_so_that_the_mesh_has_the_actors_colours() -> None:
    grade = learn(seen(flat(face()), 0.275))
    light = torch.zeros(3, 9)
    light[:, 0], light[:, 1] = 1.0, 0.1
    lit = grade.relight(light)
    even = face().mean(0) / flat(face()).mean(0)
    np.testing.assert_allclose(lit[:, 0].numpy(), even, rtol=0.02)
    directed = (lit[:, 1] / 0.1 * torch.from_numpy(LUMA)).sum() / (even @ LUMA)
    assert 1.6 < float(directed) < 2.4  # the flat picture has half of the shading
    assert (lit[:, 2:] == 0).all()


def test_shots_are_judged_one_by_one() -> None:
    shots = np.array([[0, 10], [10, 20], [20, 30]])
    nothing = FaceColours(np.full((PLACES, 3), np.nan, np.float32), np.full(3, np.nan, np.float32))
    plain, other = seen(face()), seen(flat(face()), 0.275)
    grades, told = grade_shots(shots, [plain, other, other], plain, (SDR, SDR), CONFIG)
    assert grades is not None
    assert [grade is None for grade in grades.at(np.array([0, 9, 10, 29]))] == [1, 1, 0, 0]
    assert len(told) == 2
    grades, _ = grade_shots(shots, [nothing, other, other], plain, (SDR, SDR), CONFIG)
    assert grades is not None
    assert grades.at(np.array([0]))[0] is not None  # as most of the clip
    assert grade_shots(shots, [plain] * 3, plain, (SDR, SDR), CONFIG) == (None, [])
    assert grade_shots(shots, [nothing] * 3, plain, (SDR, SDR), CONFIG) == (None, [])


def test_what_has_no_grade_is_the_very_thing_given() -> None:
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    track = TrackCoefficients(
        torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2, 3), torch.rand(2, 3, 9), torch.ones(2)
    )
    for grades in (None, [None, None]):
        assert bring_all(pictures, grades) is pictures
        assert take_all_back(pictures, grades) is pictures
        assert relight_all(track, grades) is track
    grade = learn(seen(flat(face()), 0.275))
    mixed = bring_all(pictures + 160, [None, grade])
    assert (mixed[0] == 160).all()
    assert (mixed[1] != 160).any()
    assert (relight_all(track, [None, grade]).lighting[0] == track.lighting[0]).all()


def test_a_face_is_read_where_it_is_seen() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    picture[100:, :] = 160
    picture[150:160, 140:160] = 4  # an open mouth
    cells = np.array([[50, 50], [150, 130], [100, 190], [200, 190], [350, 50], [60, 60]], float)
    normals = np.tile([0.0, 0, -1], (6, 1))
    normals[5] = [1, 0, 0]
    lower = np.array([0, 1, 1, 1, 0, 0], bool)
    found = read_face(picture, cells, normals, lower)
    assert found.is_seen.tolist() == [True, True, True, True, False, False]
    np.testing.assert_allclose(found.colours[:2] * 255, [[90] * 3, [160] * 3], atol=1)
    assert found.dark.max() < 0.25
    hidden = read_face(picture, cells + 1000, normals, lower)
    assert not hidden.is_seen.any()
    both = usual_colours([found, hidden, hidden])
    np.testing.assert_array_equal(both.colours, found.colours)
    np.testing.assert_array_equal(both.dark, found.dark)


def test_what_covers_a_face_now_and_then_does_not_count() -> None:
    covered = seen(face().copy())
    covered.colours[:100] = 0
    usual = usual_colours([seen(face()), seen(face()), covered])
    np.testing.assert_array_equal(usual.colours, face())


def test_shapes_and_settings_are_checked() -> None:
    with pytest.raises(ShapeError):
        FaceColours(np.zeros((4, 2), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ShapeError):
        ShotGrades(np.zeros((2, 2), int), [None])
    for name, value in (("contrast", 0.5), ("saturation", 11), ("offset", -1)):
        with pytest.raises(ConfigError, match=name):
            replace(CONFIG, **{name: value})
