"""Pseudo video with a toy face: boxes, references, crops and the way back into the picture."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metatalk.errors import ConfigError, FittingError, ShapeError
from metatalk.landmarks.points import IBUG68
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.config import GateConfig, PseudoConfig
from metatalk.lipsync.faces import crop_face, face_boxes, paste_face
from metatalk.lipsync.pseudo import (
    Stretch,
    choose_sentences,
    forth_and_back,
    missing_teacher,
    order_evenly,
    plan_footage,
    plan_view,
)
from metatalk.lipsync.references import choose_references
from metatalk.lipsync.teachers import Scene, Wav2LipTeacher
from metatalk.lipsync.wav2lip import Wav2Lip, prepare_redrawer

RATE = 25.0


def toy_points(opening_px: float = 0.0, turn_px: float = 0.0, x: float = 0.0) -> np.ndarray:
    """(68, 3) landmarks of an upright face 80 px wide and about 100 px high."""
    points = np.zeros((68, 3), np.float32)
    across = np.linspace(-1, 1, 17)
    points[:17, 0], points[:17, 1] = 40 * across, 20 + 50 * np.sqrt(1 - across**2)  # jaw
    points[5:12, 1] += opening_px
    points[17:27, 0], points[17:27, 1] = np.linspace(-30, 30, 10), -20  # brows
    points[27:36, 0], points[27:36, 1] = turn_px, 20  # nose
    points[36:42, 0], points[42:48, 0] = -18, 18  # eyes, at height 0
    points[48:68, 1] = 40
    points[66, 1] += opening_px
    points[:, :2] += (60 + x, 40)
    return points


def toy_track(points: list[np.ndarray], cuts: tuple[int, ...] = ()) -> LandmarkTrack:
    stacked = np.stack(points)
    seen = np.isfinite(stacked[:, 0, 0])
    edges = [0, *cuts, len(points)]
    shots = np.array([edges[:-1], edges[1:]]).T
    return LandmarkTrack(
        stacked, seen.astype(np.float32), seen.astype(np.uint8), shots, IBUG68.layout
    )


NO_FACE = np.full((68, 3), np.nan, np.float32)


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return list(rng.integers(0, 255, (count, 120, 121, 3), np.uint8))


@pytest.fixture(scope="module")
def teacher() -> Wav2LipTeacher:
    torch.manual_seed(0)
    return Wav2LipTeacher(prepare_redrawer(Wav2Lip().eval(), torch.device("cpu"), batch=4))


def toy_scene(frames: int = 10, reference: int = 0) -> Scene:
    """Six pictures of noise with a face's box in each."""
    clip = np.stack(pictures(6))
    order = forth_and_back(len(clip), frames)
    samples = np.random.default_rng(0).normal(0, 0.1, frames * 640).astype(np.float32)
    boxes = np.tile(np.float32([20, 10, 100, 112]), (6, 1))
    return Scene(clip, boxes, np.full(6, reference), order, Fraction(25), samples)


def test_an_opening_jaw_does_not_move_the_box() -> None:
    openings = [0, 0, 12, 20, 8, 0, 0]
    track = toy_track([toy_points(opening) for opening in openings])
    boxes = face_boxes(track, smooth_frames=0)
    np.testing.assert_allclose(boxes, np.broadcast_to(boxes[0], boxes.shape))
    left, top, right, bottom = boxes[0]
    assert left < right
    assert top < 20  # above the brows
    assert bottom > 40 + 70  # below the chin


def test_boxes_are_smoothed_inside_shots_only() -> None:
    rng = np.random.default_rng(0)
    jittered = [toy_points(x=float(x)) for x in rng.normal(size=40)]
    moved = [toy_points(x=100.0) for _ in range(10)]
    boxes = face_boxes(toy_track([*jittered, *moved], cuts=(40,)), smooth_frames=3)
    raw = face_boxes(toy_track([*jittered, *moved], cuts=(40,)), smooth_frames=0)
    assert np.diff(boxes[:40, 0]).std() < 0.2 * np.diff(raw[:40, 0]).std()
    np.testing.assert_allclose(boxes[40:], raw[40:], atol=1e-4)
    assert abs(boxes[39, 0] - raw[:40, 0].mean()) < 3


def test_frames_without_a_face_have_no_box() -> None:
    boxes = face_boxes(toy_track([toy_points(), NO_FACE, toy_points()]))
    assert np.isnan(boxes[1]).all()
    assert np.isfinite(boxes[[0, 2]]).all()


def test_plan_takes_every_stretch_that_is_long_enough_longest_first() -> None:
    track = toy_track([toy_points()] * 3 + [NO_FACE] + [toy_points()] * 12, cuts=(9,))
    plan = plan_footage(track, RATE, PseudoConfig(min_stretch_s=0.2))
    assert [stretch.frames.tolist() for stretch in plan] == [
        list(range(9, 16)), list(range(4, 9)),
    ]  # fmt: skip
    assert plan[0].boxes.shape == (7, 4)


def test_a_short_stretch_serves_where_there_is_no_other() -> None:
    track = toy_track([toy_points()] * 3 + [NO_FACE] + [toy_points()] * 2)
    (only,) = plan_footage(track, RATE, PseudoConfig())
    assert only.frames.tolist() == [0, 1, 2]


def test_no_more_footage_is_shown_than_asked_for() -> None:
    track = toy_track([toy_points()] * 40, cuts=(20,))
    config = PseudoConfig(footage_s=1.0, min_stretch_s=0.2)
    assert [len(stretch.frames) for stretch in plan_footage(track, RATE, config)] == [20, 5]


def test_footage_without_a_face_is_refused() -> None:
    with pytest.raises(FittingError, match="4 frames"):
        plan_footage(toy_track([NO_FACE] * 4), RATE, PseudoConfig())


def test_references_have_closed_mouths_and_the_same_turn() -> None:
    turns = [0.0, 6.0, 12.0, 18.0] * 4
    openings = [0.0] * 4 + [9.0] * 12
    shapes = zip(openings, turns, strict=True)
    points = np.stack([toy_points(opening, turn) for opening, turn in shapes])
    assert choose_references(points, IBUG68.layout, pool=4).tolist() == [0, 1, 2, 3] * 4


def test_the_pool_bounds_how_many_references_are_kept() -> None:
    points = np.stack([toy_points(turn_px=0.1 * frame) for frame in range(400)])
    references = choose_references(points, IBUG68.layout, pool=8)
    assert len(set(references.tolist())) <= 8


@given(st.integers(1, 30), st.integers(0, 200), st.integers(0, 50))
def test_forth_and_back_never_jumps_and_never_holds(length: int, count: int, start: int) -> None:
    places = forth_and_back(length, count, start)
    assert len(places) == count
    assert ((places >= 0) & (places < length)).all()
    if length > 1:
        assert (np.abs(np.diff(places)) == 1).all()


def test_a_face_comes_back_to_where_it_was_cut_out() -> None:
    y, x = np.mgrid[:200, :240].astype(np.float32)
    picture = np.stack([x, y, 200 - y], axis=2).astype(np.uint8)
    box = (50.0, 20.0, 178.0, 164.0)
    back = paste_face(picture, crop_face(picture, box), box)
    assert np.abs(back.astype(int) - picture).max() <= 3
    np.testing.assert_array_equal(back[:80], picture[:80])  # the upper half is not touched


def test_only_the_lower_half_of_the_box_changes() -> None:
    picture = np.full((120, 121, 3), 90, np.uint8)
    out = paste_face(picture, np.full((96, 96, 3), 200, np.uint8), (20, 10, 100, 110))
    changed = (out != picture).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 10 + 0.4 * 100
    assert rows.max() < 110
    assert columns.min() >= 20
    assert columns.max() < 100
    assert out[85, 60].tolist() == [200, 200, 200]
    assert np.abs(np.diff(out[85, :, 0].astype(int))).max() < 30  # no edge


@pytest.mark.parametrize("box", [(-30, -20, 60, 80), (80, 60, 200, 190), (300, 10, 400, 90)])
def test_faces_at_the_pictures_edge_are_cut_and_pasted(box: tuple[int, int, int, int]) -> None:
    picture = pictures(1)[0]
    face = crop_face(picture, box)
    assert face.shape == (96, 96, 3)
    assert paste_face(picture, face, box).shape == picture.shape


def test_the_actor_speaks_end_to_end_with_random_weights(teacher: Wav2LipTeacher) -> None:
    scene = toy_scene()
    shown = list(teacher.show(scene))
    assert len(shown) == 10
    for picture, place in zip(shown, scene.order, strict=True):
        source = scene.pictures[place]
        assert picture.shape == source.shape
        np.testing.assert_array_equal(picture[:40], source[:40])
        assert (picture != source).any()


def test_the_teacher_never_sees_the_mouth_of_the_moment(teacher: Wav2LipTeacher) -> None:
    """Other lower halves under the same boxes: the faces that are drawn stay the same."""
    scene, seen = toy_scene(), []

    class Watched:
        batch = 4

        def redraw(self, targets, references, chunks):
            drawn = teacher.redrawer.redraw(targets, references, chunks)
            seen.append(drawn[:, 50:])
            return drawn

    other = scene.pictures.copy()
    other[1:, 10 + 51 :] = 255 - other[1:, 10 + 51 :]  # all but the reference's
    list(Wav2LipTeacher(Watched()).show(scene))
    half = len(seen)
    list(Wav2LipTeacher(Watched()).show(replace(scene, pictures=other)))
    for one, two in zip(seen[:half], seen[half:], strict=True):
        # One level: a picture's row at the middle is shared by both halves when it is shrunk.
        assert np.abs(one.astype(int) - two).max() <= 1
    moved = replace(scene, references=np.full(6, 2))
    list(Wav2LipTeacher(Watched()).show(moved))
    assert any((one != two).any() for one, two in zip(seen, seen[2 * half :], strict=False))


def test_a_scene_whose_parts_do_not_go_together_is_refused() -> None:
    with pytest.raises(ShapeError, match="boxes"):
        replace(toy_scene(), boxes=np.zeros((5, 4), np.float32))


def test_a_view_holds_the_face_throughout_and_maps_points_back() -> None:
    track = toy_track([toy_points(x=10.0 * frame) for frame in range(5)])
    (stretch,) = plan_footage(track, RATE, PseudoConfig(box_smooth_s=0))
    large = Stretch(stretch.frames, stretch.boxes * 5 + 300, stretch.references)
    view = plan_view(large, (1920, 1080))
    assert view.width % 2 == view.height % 2 == 0
    assert max(view.width, view.height) <= 480
    inside = view.boxes_inside(large.boxes)
    assert (inside[:, :2] >= 0).all()
    assert (inside[:, 2:] <= (view.width, view.height)).all()
    corners = np.concatenate([inside[:, :2], np.ones((5, 1))], axis=1)
    back = view.points_outside(corners)
    np.testing.assert_allclose(back[:, :2], large.boxes[:, :2], atol=1e-3)
    np.testing.assert_allclose(back[:, 2], 1 / view.scale[0], rtol=1e-5)


def test_a_small_picture_is_shown_as_it_is() -> None:
    (stretch,) = plan_footage(toy_track([toy_points()] * 4), RATE, PseudoConfig())
    view = plan_view(stretch, (120, 120))
    assert (view.left, view.top) == (0, 0)
    assert view.scale == (1.0, 1.0)


def test_a_reference_gives_nothing_of_the_moments_mouth_away() -> None:
    """The same head with other words: the same references, but for which closed moment it is."""
    turns = np.linspace(0, 20, 40)
    said = [np.abs(np.sin(np.arange(40) * pace)) * 12 for pace in (0.9, 1.7)]
    for openings in said:
        points = np.stack([toy_points(o, t) for o, t in zip(openings, turns, strict=True)])
        references = choose_references(points, IBUG68.layout, pool=64)
        chosen = openings[references]
        assert chosen.max() < np.quantile(openings, 0.26)
        if np.std(chosen) > 0:
            assert abs(np.corrcoef(chosen, openings)[0, 1]) < 0.3


def test_a_small_budget_of_speech_still_covers_the_corpus() -> None:
    config = PseudoConfig(max_minutes=1.0)
    order = order_evenly(["one"] * 100)
    chosen = sorted(order[place] for place in choose_sentences([6.0] * 100, config))
    assert len(chosen) == 10
    assert max(np.diff(chosen)) < 25
    assert choose_sentences([0.2, 300.0], config) == []


def test_recordings_are_taken_evenly_over_the_speakers() -> None:
    speakers = ["often"] * 90 + [f"once {number}" for number in range(10)]
    first = [speakers[place] for place in order_evenly(speakers)[:11]]
    assert sorted(first) == sorted(set(speakers))
    assert sorted(order_evenly(speakers)) == list(range(100))


def test_no_more_recordings_are_opened_than_fill_the_time() -> None:
    opened = []

    def durations():
        for seconds in [6.0] * 100:
            opened.append(seconds)
            yield seconds

    assert len(choose_sentences(durations(), PseudoConfig(max_minutes=0.5))) == 5
    assert len(opened) == 5


def test_a_missing_teacher_is_one_line_that_says_what_it_would_add() -> None:
    line = missing_teacher(PseudoConfig(corpus="speech"))
    assert line is not None
    assert "pseudo.checkpoint" in line
    assert "pseudo.corpus" not in line
    assert "other voices" in line or "voices other" in line
    assert "\n" not in line
    assert missing_teacher(PseudoConfig("wav2lip.pth", "speech")) is None
    command = "model {video} {audio} {out}"
    assert missing_teacher(PseudoConfig(None, "speech", command)) is None


@pytest.mark.parametrize(
    "values", [{"batch": 0}, {"max_minutes": -1}, {"min_sentence_s": 30.0}, {"face_margin": -0.1}]
)
def test_settings_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="pseudo"):
        PseudoConfig(**values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"command": "model {video} {out}"}, "{audio}"),
        ({"command": "m {video} {audio} {out}", "checkpoint": "a.pth"}, "both"),
    ],
)
def test_a_command_that_cannot_work_is_refused(values: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        PseudoConfig(**values)


@pytest.mark.parametrize("values", [{"max_lag_s": -0.1}, {"min_likeness": 2.0}])
def test_the_gates_settings_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"pseudo\.gate"):
        GateConfig(**values)
