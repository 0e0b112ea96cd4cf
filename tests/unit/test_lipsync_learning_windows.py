"""Windows of faces and sound: what is held out, what a step draws, what belongs together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lipsync_learning_toys import numbered_track, read_columns, read_frames

from metatalk.errors import FittingError
from metatalk.lipsync.learning.config import JitterConfig
from metatalk.lipsync.learning.windows import Draw, Span, batches, span_weights, split_spans
from metatalk.lipsync.tracks import Track


def dice(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def whole(track: Track, number: int = 0) -> Span:
    return Span(track, number, 0, len(track.faces))


def looked_at(spans: Iterable[Span]) -> set[tuple[int, int]]:
    """Track and frame of every picture of every window, and of all the sound it hears."""
    found = set()
    for span in spans:
        starts = np.arange(span.first, span.first + span.windows)
        heard = read_columns(span.mels(starts + 4)) * 5 // 16  # of each window's last frame
        for start, columns in zip(starts.tolist(), heard, strict=True):
            found |= {(span.number, frame) for frame in (*range(start, start + 5), *columns)}
    return found


def test_a_split_that_the_corpus_names_counts() -> None:
    splits = ["train", "val", None, "test", "pretrain", "valid"]
    tracks = [numbered_track(60, f"t{at}", f"s{at}", split) for at, split in enumerate(splits)]
    learned, held = split_spans(tracks, 0.2)
    assert [span.number for span in learned] == [0, 2, 4]
    assert [span.number for span in held] == [1, 3, 5]
    assert all((span.first, span.end) == (0, 60) for span in [*learned, *held])


@pytest.mark.parametrize(("held_out", "expected"), [(0.2, 5), (0.1, 2), (0.02, 1)])
def test_of_many_sources_whole_ones_are_held_out(held_out: float, expected: int) -> None:
    tracks = [numbered_track(40, f"t{at}", f"s{at // 2}") for at in range(50)]
    learned, held = split_spans(tracks, held_out)
    sources = lambda spans: {span.track.source for span in spans}  # noqa: E731
    assert len(sources(held)) == expected
    assert not sources(held) & sources(learned)
    assert len(learned) + len(held) == 50


def test_nineteen_sources_are_divided_in_time() -> None:
    tracks = [numbered_track(100, f"t{at}", f"s{at}") for at in range(19)]
    learned, held = split_spans(tracks, 0.2)
    assert len(learned) == len(held) == 19


@pytest.mark.parametrize("lengths", [(300,), (120, 90, 200), (40, 260, 17)])
@pytest.mark.parametrize("held_out", [0.1, 0.25, 0.6])
def test_nothing_held_out_is_seen_or_heard_in_learning(
    lengths: tuple[int, ...], held_out: float
) -> None:
    tracks = [numbered_track(size, f"t{at}", "one clip") for at, size in enumerate(lengths)]
    learned, held = split_spans(tracks, held_out)
    assert not looked_at(learned) & looked_at(held)
    share = sum(span.end - span.first for span in held) / sum(lengths)
    assert share == pytest.approx(held_out, abs=25 / sum(lengths) + 0.02)
    last = [span for span in held if span.number == len(lengths) - 1]
    assert last[0].end == lengths[-1] or lengths[-1] < 20


def test_each_source_gives_its_own_end() -> None:
    tracks = [numbered_track(200, "a", "one"), numbered_track(100, "b", "two")]
    learned, held = split_spans(tracks, 0.25)
    assert [(span.number, span.first, span.end) for span in learned] == [(0, 0, 150), (1, 0, 75)]
    assert [(span.number, span.first, span.end) for span in held] == [(0, 155, 200), (1, 80, 100)]


def test_too_little_is_said_with_a_remedy() -> None:
    with pytest.raises(FittingError, match="too short") as told:
        split_spans([numbered_track(24)], 0.2)
    assert "prepare more clips" in told.value.remedy


def test_spans_without_a_window_far_from_others_are_left_out() -> None:
    tracks = [numbered_track(14, "a", "one", "val"), numbered_track(15, "b", "two", "val")]
    _, held = split_spans([*tracks, numbered_track(50, "c", "three")], 0.2)
    assert [(span.number, span.windows) for span in held] == [(1, 11)]


@pytest.mark.parametrize("columns", [116, 117, 118, 119, 120, 200])
def test_no_window_is_given_sound_of_another_moment(columns: int) -> None:
    tracks = [
        numbered_track(80, "a", "one", columns=columns),
        numbered_track(80, "b", "two", "val"),
    ]
    (learned,), _ = split_spans(tracks, 0.2)
    frames = np.arange(learned.first, learned.end)
    first = read_columns(learned.mels(frames))[:, 0]
    assert first.tolist() == (80 * frames // 25).tolist()
    assert learned.end >= min(80, (columns - 16) * 5 // 16)


def test_a_track_without_sound_is_left_out() -> None:
    tracks = [numbered_track(80, "a", "one", columns=12), numbered_track(200, "b", "two")]
    learned, held = split_spans(tracks, 0.2)
    assert {span.number for span in [*learned, *held]} == {1}


def test_windows_and_their_sound_belong_together() -> None:
    tracks = [numbered_track(300, mark=7), numbered_track(90, "t1", mark=9)]
    spans = [Span(tracks[0], 0, 20, 290), Span(tracks[1], 1, 0, 90)]
    batch = Draw(spans, 24, group=4, apart=3).expert_batch(dice())
    assert batch.faces.shape == (24, 5, 96, 96, 3)
    assert batch.faces.dtype == torch.uint8
    assert batch.mels.shape == (24, 80, 16)
    assert batch.mels.dtype == torch.float32
    frames = batch.frame.numpy()
    np.testing.assert_array_equal(read_frames(batch.faces), frames[:, None] + np.arange(5))
    columns = (80 * frames // 25)[:, None] + np.arange(16)
    np.testing.assert_array_equal(read_columns(batch.mels), columns)
    marks = batch.faces[:, 0, 0, 0, 2]
    assert torch.equal(marks, torch.tensor([7, 9])[batch.track])
    assert set(batch.track.tolist()) == {0, 1}


def test_members_of_a_group_are_of_one_track_and_apart() -> None:
    spans = [whole(numbered_track(100)), whole(numbered_track(60, "t1"), 1)]
    for seed in range(20):
        batch = Draw(spans, 16, group=8, apart=5).expert_batch(dice(seed))
        for tracks, frames in zip(batch.track.view(2, 8), batch.frame.view(2, 8), strict=True):
            assert len(set(tracks.tolist())) == 1
            assert frames.diff().min() >= 5


def test_every_window_of_a_span_is_drawn_and_none_beyond() -> None:
    span = Span(numbered_track(60), 0, 7, 31)
    draw = Draw([span], 4, group=2, apart=3)
    starts = {int(f) for seed in range(100) for f in draw.expert_batch(dice(seed)).frame}
    assert starts == set(range(7, 27))
    drawn = [Draw([span], 4).teacher_batch(dice(seed)) for seed in range(60)]
    for part in ("faces", "references"):
        seen = {int(f) for batch in drawn for f in read_frames(getattr(batch, part))[:, 0]}
        assert seen == set(range(7, 27)), part


def test_a_span_too_short_for_its_group_repeats_itself() -> None:
    batch = Draw([Span(numbered_track(20), 0, 4, 15)], 8, group=8, apart=5).expert_batch(dice())
    assert set(batch.frame.tolist()) <= set(range(4, 11))


def test_longer_spans_are_drawn_from_more_often() -> None:
    spans = [Span(numbered_track(100), 0, 0, 94), Span(numbered_track(20, "t1"), 1, 0, 14)]
    tracks = torch.cat([Draw(spans, 50).expert_batch(dice(seed)).track for seed in range(8)])
    assert float((tracks == 1).float().mean()) == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("evenness", "expected"),
    [(0.0, (0.45, 0.45, 0.1)), (1.0, (0.25, 0.25, 0.5)), (0.5, (0.375, 0.375, 0.25))],
)
def test_short_sources_are_drawn_from_as_evenly_as_is_said(
    evenness: float, expected: tuple[float, ...]
) -> None:
    tracks = [numbered_track(60, "a", "long"), numbered_track(60, "b", "long")]
    spans = [Span(tracks[0], 0, 0, 49), Span(tracks[1], 1, 0, 49)]
    spans.append(Span(numbered_track(20, "c", "short"), 2, 0, 14))
    weights = span_weights(spans, evenness)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    draw = Draw(spans, 100, evenness=evenness)
    tracks_drawn = torch.cat([draw.expert_batch(dice(seed)).track for seed in range(4)])
    share = float((tracks_drawn == 2).float().mean())
    assert share == pytest.approx(expected[2], abs=0.07)


def test_each_frame_of_the_generator_has_its_own_sound() -> None:
    batch = Draw([whole(numbered_track(200))], 12).teacher_batch(dice())
    frames = read_frames(batch.faces)  # (12, 5)
    assert (np.diff(frames) == 1).all()
    columns = (80 * frames // 25)[..., None] + np.arange(16)
    np.testing.assert_array_equal(read_columns(batch.chunks), columns)
    np.testing.assert_array_equal(read_columns(batch.mels), columns[:, 0])


@pytest.mark.parametrize("apart", [1, 5, 30])
def test_references_are_of_the_same_track_and_apart(apart: int) -> None:
    spans = [whole(numbered_track(90, mark=1)), whole(numbered_track(70, "t1", mark=2), 1)]
    for seed in range(10):
        batch = Draw(spans, 8, apart=apart).teacher_batch(dice(seed))
        frames, others = read_frames(batch.faces), read_frames(batch.references)
        assert (np.abs(frames[:, 0] - others[:, 0]) >= apart).all()
        assert (np.diff(others) == 1).all()
        assert torch.equal(batch.faces[..., 2], batch.references[..., 2])


def test_the_farthest_reference_serves_where_none_is_far() -> None:
    batch = Draw([Span(numbered_track(40), 0, 10, 25)], 32, apart=50).teacher_batch(dice())
    frames, others = read_frames(batch.faces)[:, 0], read_frames(batch.references)[:, 0]
    np.testing.assert_array_equal(others, np.where(frames - 10 >= 20 - frames, 10, 20))


def textured_track() -> Track:
    """The same textured picture in every frame, and a sound that does not change."""
    track = numbered_track(60)
    picture = dice(3).integers(60, 200, (128, 128, 3), np.uint8)
    return replace(track, faces=np.repeat(picture[None], 60, 0), mel=np.ones_like(track.mel))


def test_a_window_and_its_reference_are_varied_alike_and_pairs_apart() -> None:
    batch = Draw([whole(textured_track())], 4, jitter=JitterConfig()).teacher_batch(dice())
    assert torch.equal(batch.faces, batch.references)
    assert (batch.faces == batch.faces[:, :1]).all()
    assert not torch.equal(batch.faces[0], batch.faces[1])
    assert torch.equal(batch.mels, batch.chunks[:, 0])
    assert (batch.chunks == batch.chunks[:, :1]).all()
    assert not torch.equal(batch.mels[0], batch.mels[1])


def test_a_group_hears_one_room_but_its_windows_are_filmed_apart() -> None:
    batch = Draw([whole(textured_track())], 8, 4, 3, JitterConfig()).expert_batch(dice())
    assert (batch.mels[:4] == batch.mels[:1]).all()
    assert not torch.equal(batch.mels[0], batch.mels[4])
    assert not torch.equal(batch.faces[0], batch.faces[1])


def values(batch: Any) -> list[torch.Tensor]:
    return list(vars(batch).values())


def equal(left: Any, right: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(values(left), values(right), strict=True))


def drawer() -> Draw:
    return Draw([whole(numbered_track(60))], 2, apart=3, jitter=JitterConfig())


@pytest.mark.parametrize("kind", ["expert_batch", "teacher_batch"])
def test_a_step_draws_the_same_however_one_came_there(kind: str) -> None:
    draw = getattr(drawer(), kind)
    all_steps = list(batches(draw, range(6), seed=5))
    torch.rand(7)
    np.random.default_rng().normal()
    later = list(batches(draw, range(3, 6), seed=5))
    assert all(equal(a, b) for a, b in zip(all_steps[3:], later, strict=True))
    assert not any(equal(all_steps[0], other) for other in all_steps[1:])
    for changed in ({"seed": 6}, {"seed": 5, "rank": 1}):
        assert not equal(all_steps[0], next(iter(batches(draw, range(6), **changed))))


@pytest.mark.parametrize("kind", ["expert_batch", "teacher_batch"])
def test_a_batch_can_be_pinned_and_moved(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = getattr(drawer(), kind)(dice())
    assert equal(batch.to(torch.device("cpu")), batch)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, device=None: self + 1)
    pinned = batch.pin_memory()  # the loader pins what has such a method, and nothing else
    assert type(pinned) is type(batch)
    assert all(torch.equal(a + 1, b) for a, b in zip(values(batch), values(pinned), strict=True))
