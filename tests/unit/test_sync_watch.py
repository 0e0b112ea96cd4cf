"""A judge beside the observer: who is asked, what it is shown, and what becomes of its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from sync_toys import toy_faces, toy_judge, toy_signal, toy_sound, toy_track, toy_watched

from metatalk.errors import ConfigError, ShapeError
from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.judge import Judge
from metatalk.lipsync.judged_faces import cut_judged, judged_boxes, judged_places
from metatalk.lipsync.sync_figures import SyncFigures
from metatalk.lipsync.teachers import Scene
from metatalk.lipsync.trusted_judge import OUT_OF_SYNC, UNSURE, TrustedJudge
from metatalk.media.audio import Sound, write_wav
from metatalk.stages import sync_watch
from metatalk.stages.artefacts import save_index, save_landmarks
from metatalk.stages.sync import WatchedClip
from metatalk.stages.sync_watch import ASKED, SyncWatch, open_trusted_judge

FRAMES = 150
BOX = np.float32([16, 8, 48, 56])


def trust(lead_frames: int = 0, offset_frames: int = 0, seed: int = 0) -> TrustedJudge:
    """A judge of an actor whose sound leads by so much."""
    judge, signal = toy_judge(), toy_signal(FRAMES)
    lips = judge.embed_lips(toy_faces(signal))[:-1]
    heard = signal if seed == 0 else toy_signal(FRAMES, seed)
    sound = judge.embed_sound(toy_sound(heard, lead_frames), len(lips))
    return TrustedJudge(judge, (lips,), (sound,), offset_frames)


def figures(offset_frames: int, confidence: float, windows: int = 45) -> SyncFigures:
    return SyncFigures(1.0, confidence, offset_frames, np.zeros(31), np.zeros(windows, np.float32))


# -- what the judge's figures are held against -----------------------------------------------------


def test_confidence_is_held_against_the_actors_own() -> None:
    trusted = trust()
    own = trusted.own(45, 1)
    assert own.tells_offsets
    for share, told in ((0.29, UNSURE), (0.31, "")):
        found = figures(0, share * own.confidence)
        assert trusted.objection(found, GateConfig(min_confidence=0.3)) == told
    assert trusted.objection(figures(0, 1e-9), GateConfig(min_confidence=0.0)) == ""


def test_a_judge_of_tiny_figures_drops_nothing_for_that() -> None:
    trusted = trust()
    with torch.no_grad():
        trusted.judge.network.weight.mul_(0.01)
    small = replace(trusted, lips=tuple(0.01 * each for each in trusted.lips),
                    sound=tuple(0.01 * each for each in trusted.sound))  # fmt: skip
    own = small.own(45, 1)
    assert own.confidence == pytest.approx(0.01 * trusted.own(45, 1).confidence, rel=1e-3)
    assert small.objection(figures(0, own.confidence), GateConfig()) == ""


def test_an_offset_counts_where_the_judge_tells_the_actors_own() -> None:
    late = figures(-5, 100.0)
    assert trust().objection(late, GateConfig()) == OUT_OF_SYNC
    assert trust().objection(figures(1, 100.0), GateConfig()) == ""
    assert trust(seed=5).objection(late, GateConfig()) == ""  # it tells nothing of this actor
    assert trust(lead_frames=4).objection(late, GateConfig()) == ""  # nobody knows the clip's own
    assert trust(lead_frames=4, offset_frames=4).objection(late, GateConfig()) == OUT_OF_SYNC


def test_pieces_are_as_long_as_the_sentence_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, lengths = trust(), []
    compare = Judge.compare

    def noted(self: Judge, lips: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        lengths.append(len(lips))
        return compare(self, lips, sound)

    monkeypatch.setattr(Judge, "compare", noted)
    for windows, expected in ((10, [49, 48, 48]), (70, [73, 72]), (1000, [145])):
        lengths.clear()
        trusted.own(windows, 1)
        assert lengths == expected


def test_lips_and_sound_must_pair_up() -> None:
    whole = trust()
    with pytest.raises(ShapeError):
        TrustedJudge(whole.judge, whole.lips, (whole.sound[0][1:],))


@pytest.mark.parametrize("values", [{"min_confidence": 1.5}, {"min_confidence": -0.1}])
def test_the_share_is_checked(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"min_confidence.*"):
        GateConfig(**values)


# -- what the judge is shown -----------------------------------------------------------------------


def scene_of(signal: np.ndarray, rate: int = 25) -> Scene:
    """Grey pictures, forth and back over half as many as are shown."""
    half = len(signal) // 2
    order = np.concatenate([np.arange(half), np.arange(half)[::-1]])
    pictures = np.zeros((half, 64, 64, 3), np.uint8)
    boxes, references = np.tile(BOX, (half, 1)), np.zeros(half, np.int64)
    return Scene(pictures, boxes, references, order, Fraction(rate), toy_sound(signal))


def shown(signal: np.ndarray) -> np.ndarray:
    return toy_faces(signal, 64)


@pytest.mark.parametrize("rate", [25, 50])
def test_a_sentence_is_judged_at_25_frames_a_second(rate: int) -> None:
    signal = toy_signal(60)
    seen = np.repeat(signal, rate // 25)
    scene = replace(scene_of(seen, rate), samples=toy_sound(signal))
    watch = SyncWatch(trust(), scene, scene.boxes)
    passed = list(watch.look_on(iter(shown(seen))))
    np.testing.assert_array_equal(np.stack(passed), shown(seen))
    np.testing.assert_array_equal(np.stack(watch.faces), toy_faces(signal))
    assert watch.reason(GateConfig()) == ""


@pytest.mark.parametrize(("lead", "told"), [(0, ""), (6, OUT_OF_SYNC)])
def test_a_verdict_becomes_a_reason(lead: int, told: str) -> None:
    signal = toy_signal(60)
    scene = replace(scene_of(signal), samples=toy_sound(signal, lead))
    watch = SyncWatch(trust(), scene, scene.boxes)
    list(watch.look_on(iter(shown(signal))))
    assert watch.reason(GateConfig()) == told


def test_a_sentence_too_short_for_the_judge_is_let_pass() -> None:
    signal = toy_signal(40)
    watch = SyncWatch(trust(), scene_of(signal), scene_of(signal).boxes)
    list(watch.look_on(iter(shown(signal))))
    assert watch.reason(GateConfig()) == ""


def test_syncnet_is_shown_its_own_square_steadied_over_the_sentence() -> None:
    syncnet, signal = replace(toy_judge(), kind="syncnet"), toy_signal(60)
    scene = scene_of(signal)
    boxes = scene.boxes + np.random.default_rng(0).uniform(-4, 4, (30, 1)).astype(np.float32)
    pictures = np.random.default_rng(1).integers(0, 255, (60, 64, 64, 3), np.uint8)
    watch = SyncWatch(replace(trust(), judge=syncnet), scene, boxes)
    list(watch.look_on(iter(pictures)))
    places = judged_places(syncnet, boxes[scene.order])
    assert np.ptp(places[:, 0]) < np.ptp(boxes[:, 0])
    for number in (0, 29, 59):
        expected = cut_judged(syncnet, pictures[number], places[number])
        np.testing.assert_array_equal(watch.faces[number], expected)


def test_a_judges_boxes_do_not_hang_on_the_teachers_settings() -> None:
    track = toy_track(30)
    track.points[15, :, 0] += 6
    expert, syncnet = (judged_boxes(replace(toy_judge(), kind=kind), track, 25.0)
                       for kind in ("expert", "syncnet"))  # fmt: skip
    assert expert[15, 0] - expert[0, 0] < 1.5  # smoothed over a fifth of a second
    assert syncnet[15, 0] - syncnet[0, 0] == pytest.approx(6)
    assert expert[0, 3] - syncnet[0, 3] == pytest.approx(0.08 * (syncnet[0, 3] - syncnet[0, 1]))


# -- who is asked ----------------------------------------------------------------------------------


def inputs_of(clip: WatchedClip, folder: Path) -> Mapping[str, Path]:
    inputs = {"clip": clip.clip, **{name: folder / name for name in ("ingest", "landmarks")}}
    inputs["ingest"].mkdir()
    inputs["landmarks"].mkdir()
    save_index(inputs["ingest"] / "frames.npz", clip.index)
    save_landmarks(inputs["landmarks"] / "landmarks.npz", clip.track)
    write_wav(inputs["ingest"] / "sound.wav", Sound(clip.samples, 16_000))
    return inputs


@pytest.mark.parametrize(
    ("seed", "offset_s", "why"),
    [
        (0, None, ""),
        (0, -0.08, ""),
        (0, 0.0, "it finds an offset of +2 frames in the actor's own clip, where +0 frames"),
        (5, None, "not to be trusted on this clip"),
    ],
)
def test_only_a_judge_that_knows_the_actor_is_asked(
    seed: int, offset_s: float | None, why: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    clip = toy_watched(tmp_path, FRAMES, lead_frames=2)
    if seed:
        clip = replace(clip, samples=toy_sound(toy_signal(FRAMES, seed)))
    monkeypatch.setattr(sync_watch, "open_judge", lambda *_: toy_judge())
    judge, outcome = open_trusted_judge(
        Path("toy.safetensors"), inputs_of(clip, tmp_path), GateConfig(), offset_s, "cpu"
    )
    if why:
        assert judge is None
        assert outcome.startswith(f"not trusted: {why}")
        assert "toy.safetensors is not asked about the teacher" in caplog.text
    else:
        assert judge is not None
        assert outcome == ASKED
        assert caplog.text == ""
        assert judge.own(45, 1).tells_offsets == (offset_s is not None)


def test_a_judge_that_is_blind_to_lips_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: dict[str, object] = {}

    def judged(*_: object, **options: object) -> object:
        tried.update(options)
        return real(*_, **options)

    real = sync_watch.judge_watched
    monkeypatch.setattr(sync_watch, "judge_watched", judged)
    monkeypatch.setattr(sync_watch, "open_judge", lambda *_: toy_judge())
    inputs = inputs_of(toy_watched(tmp_path, FRAMES), tmp_path)
    open_trusted_judge(Path("toy.safetensors"), inputs, GateConfig())
    assert tried == {"check": True, "most_s": 60.0}  # tampered versions, of a minute at most


def test_a_judge_is_not_asked_where_the_clip_is_mute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sync_watch, "open_judge", lambda *_: toy_judge())
    found = open_trusted_judge(Path("toy.safetensors"), {"ingest": tmp_path}, GateConfig())
    assert found == (None, "not trusted: the clip has no sound to try it on")
    assert "no sound to try it on" in caplog.text
