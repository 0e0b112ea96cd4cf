"""Pseudo video with a toy face: boxes, references, crops and the way back into the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metatalk.errors import ConfigError, FittingError, MissingAssetError, ShapeError
from metatalk.landmarks.points import IBUG68
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.faces import crop_face, face_boxes, paste_face
from metatalk.lipsync.mel import chunk_starts, mel_chunks, wav2lip_mel
from metatalk.lipsync.pseudo import (
    choose_references,
    choose_sentences,
    find_speech,
    forth_and_back,
    gather_faces,
    missing_teacher,
    plan_footage,
    speak,
)
from metatalk.lipsync.wav2lip import Teacher, Wav2Lip, prepare_teacher

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
def teacher() -> Teacher:
    torch.manual_seed(0)
    return prepare_teacher(Wav2Lip(), torch.device("cpu"), batch=4)


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


def test_plan_takes_the_longest_stretch_inside_one_shot() -> None:
    track = toy_track([toy_points()] * 3 + [NO_FACE] + [toy_points()] * 12, cuts=(9,))
    plan = plan_footage(track, RATE, PseudoConfig())
    assert plan.frames.tolist() == list(range(9, 16))
    assert plan.boxes.shape == (7, 4)


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


def test_the_actor_speaks_end_to_end_with_random_weights(teacher: Teacher) -> None:
    openings = [0.0, 4.0, 8.0, 4.0, 0.0, 6.0]
    clip = pictures(len(openings))
    plan = plan_footage(toy_track([toy_points(o) for o in openings]), RATE, PseudoConfig())
    faces = gather_faces((clip[frame] for frame in plan.frames), plan)
    mel = wav2lip_mel(np.random.default_rng(0).normal(0, 0.1, 6400).astype(np.float32))
    chunks = mel_chunks(mel, chunk_starts(10, RATE, mel.shape[1]))
    order = forth_and_back(len(plan.frames), 10)
    asked: list[int] = []

    def stream() -> Iterator[np.ndarray]:
        for place in order:
            asked.append(int(place))
            yield clip[plan.frames[place]]

    shown = speak(stream(), order, plan, faces, chunks, teacher)
    first = next(shown)
    assert len(asked) == teacher.batch  # streaming: no more is held than one batch
    rest = list(shown)
    assert len(rest) == 9
    source = clip[plan.frames[order[0]]]
    assert first.shape == source.shape
    np.testing.assert_array_equal(first[:40], source[:40])
    assert (first != source).any()


def test_speaking_without_enough_pictures_is_refused(teacher: Teacher) -> None:
    plan = plan_footage(toy_track([toy_points()] * 3), RATE, PseudoConfig(reference="same"))
    order, chunks = forth_and_back(3, 6), np.zeros((6, 80, 16), np.float32)
    with pytest.raises(ShapeError, match="3 pictures for 6"):
        list(speak(pictures(3), order, plan, {}, chunks, teacher))


def test_speech_is_found_in_any_layout(tmp_path: Path) -> None:
    for name in ("main/6330/00001.mp4", "84/121123/84-121123-0000.flac", "b.WAV", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_speech(tmp_path)]
    assert sorted(found) == ["84/121123/84-121123-0000.flac", "b.WAV", "main/6330/00001.mp4"]


def test_an_absent_or_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no speech folder"):
        find_speech(tmp_path / "absent")
    with pytest.raises(MissingAssetError, match="no recording"):
        find_speech(tmp_path)


def test_a_small_budget_of_speech_still_covers_the_corpus() -> None:
    config = PseudoConfig(max_minutes=1.0)
    chosen = choose_sentences([6.0] * 100 + [0.2, 300.0], config)
    assert len(chosen) == 10
    assert max(np.diff(chosen)) < 25
    assert chosen == sorted(set(chosen))
    assert choose_sentences([0.2, 300.0], config) == []


def test_a_missing_teacher_is_one_line_that_says_what_it_would_add() -> None:
    line = missing_teacher(PseudoConfig(corpus="speech"))
    assert line is not None
    assert "pseudo.checkpoint" in line
    assert "pseudo.corpus" not in line
    assert "other voices" in line or "voices other" in line
    assert "\n" not in line
    assert missing_teacher(PseudoConfig("wav2lip.pth", "speech")) is None


@pytest.mark.parametrize(
    "values", [{"batch": 0}, {"max_minutes": -1}, {"min_sentence_s": 30.0}, {"face_margin": -0.1}]
)
def test_settings_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="pseudo"):
        PseudoConfig(**values)
