"""The sentences of pseudo video: which are planned, on what, and how they lie on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from metatalk.config import Config, load_config
from metatalk.errors import ConfigError, MediaError, MissingAssetError
from metatalk.fitting.utterance import Utterance
from metatalk.lipsync.config import GateConfig, PseudoConfig
from metatalk.lipsync.gate import FLAT, Screening
from metatalk.media.audio import Sound, read_sound, write_wav
from metatalk.stages import screening
from metatalk.stages.screening import distrust, screen_sentences
from metatalk.stages.sentences import (
    FAILING_TEACHER,
    Sentence,
    is_written,
    load_said,
    load_utterances,
    plan_sentences,
    save_utterance,
    summarise,
    teacher_sources,
)
from metatalk.stages.train import train_actor


def recordings(folder: Path, seconds: list[float]) -> Path:
    folder.mkdir()
    for number, length in enumerate(seconds):
        samples = np.zeros(round(16_000 * length), np.float32)
        write_wav(folder / f"{number}.wav", Sound(samples, 16_000))
    return folder


def listing_of(folder: Path, actor: Path) -> Path:
    config = PseudoConfig(None, str(folder), "model {video} {audio} {out}")
    return teacher_sources(config, actor)["corpus"]


def test_the_command_and_the_judge_are_part_of_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metatalk.stages.sentences.open_judge", lambda path: None)
    folder, judge = recordings(tmp_path / "speech", [1.0]), tmp_path / "judge.safetensors"
    judge.write_bytes(b"weights")
    config = PseudoConfig(None, str(folder), "model {video} {audio} {out}", judge=str(judge))
    said = [teacher_sources(config, tmp_path)["teacher"].read_text()]
    judge.write_bytes(b"other weights")
    said.append(teacher_sources(config, tmp_path)["teacher"].read_text())
    other = replace(config, command="other {video} {audio} {out}")
    said.append(teacher_sources(other, tmp_path)["teacher"].read_text())
    assert len(set(said)) == 3
    with pytest.raises(MissingAssetError, match=r"correct pseudo\.judge"):
        teacher_sources(replace(config, judge=str(tmp_path / "none")), tmp_path)


@pytest.mark.parametrize("name", ["checkpoint", "judge"])
def test_weights_of_something_else_are_refused_before_any_work(
    name: str, footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    folder, other = recordings(tmp_path / "speech", [1.0]), tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    taught = PseudoConfig(None, str(folder), "model {video} {audio} {out}")
    if name == "checkpoint":
        taught = replace(taught, command=None)
    config = replace(Config(), pseudo=replace(taught, **{name: str(other)}))
    with pytest.raises(ConfigError, match="something else"):
        train_actor(footage, actor_root, config)
    assert not (actor_root / "ingest").exists()


def test_a_tilde_stands_for_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    config = load_config(None, words=["pseudo.checkpoint=~/w.pth", "pseudo.judge=~/j"]).pseudo
    assert (config.checkpoint, config.judge, config.corpus) == (
        "/home/jane/w.pth", "/home/jane/j", None,
    )  # fmt: skip


def test_sentences_follow_each_other_and_damaged_files_are_left_out(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "speech", [1.5, 2.0, 0.3, 1.0])
    (folder / "1.wav").write_bytes(b"no sound")
    found = plan_sentences(listing_of(folder, tmp_path), folder, PseudoConfig())
    assert [sentence.path.name for sentence in found] == ["0.wav", "3.wav"]
    assert [sentence.start_s for sentence in found] == [0.0, 1.5]


def test_of_a_large_corpus_only_as_much_is_opened_as_could_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def duration(path: Path) -> Fraction:
        opened.append(path)
        return Fraction(6)

    monkeypatch.setattr("metatalk.stages.sentences.audio_duration", duration)
    listing = tmp_path / "corpus.json"
    listing.write_text(json.dumps([[f"{number}.wav", 1] for number in range(1000)]))
    config = PseudoConfig(max_minutes=1.0)
    assert len(plan_sentences(listing, tmp_path, config)) == 10
    assert len(opened) <= 60


def test_a_corpus_without_a_sentence_of_the_right_length_is_refused(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "speech", [0.2])
    with pytest.raises(ConfigError, match="1 to 20 s"):
        plan_sentences(listing_of(folder, tmp_path), folder, PseudoConfig())
    with pytest.raises(MediaError):
        read_sound(folder / "absent.wav")


def utterance(faces: int, error_mm: float, frames: int = 10) -> Utterance:
    has_face = np.arange(frames) < faces
    errors = np.where(has_face, error_mm, np.nan).astype(np.float32)
    return Utterance(
        np.zeros(frames * 640, np.float32),
        np.arange(frames) / 25,
        np.zeros((frames, 3), np.float32),
        has_face,
        errors,
    )


@pytest.mark.parametrize(
    ("faces", "error_mm", "sound"), [(10, 1.0, True), (9, 2.0, True), (8, 1.0, False),
                                     (10, 2.1, False), (0, 1.0, False)],
)  # fmt: skip
def test_a_sentence_with_few_faces_or_a_poor_fit_is_not_sound(
    faces: int, error_mm: float, sound: bool
) -> None:
    assert utterance(faces, error_mm).is_sound(0.9, 2.0) is sound


def test_sentences_come_back_from_disk_and_dropped_ones_do_not(tmp_path: Path) -> None:
    save_utterance(tmp_path, 0, utterance(10, 1.0))
    save_utterance(tmp_path, 1, utterance(0, 1.0), "a face is missing")
    assert is_written(tmp_path, 0)
    assert is_written(tmp_path, 1)
    assert not is_written(tmp_path, 2)
    (back,) = load_utterances(tmp_path)
    assert back.face_share == 1.0
    planned = [Sentence(n, tmp_path / f"{n}.wav", 0.4 * n, 0.4, f"voice {n}") for n in (0, 1)]
    assert summarise(tmp_path, planned) == {
        "sentences": 1, "dropped": 1, "dropped_for": "1 because a face is missing", "voices": 1,
        "speech_s": 0.4, "face_share": 1.0, "landmark_error_mm": 1.0,
    }  # fmt: skip


def test_a_kept_sentence_can_be_dropped_later_and_taken_back(tmp_path: Path) -> None:
    save_utterance(tmp_path, 0, utterance(10, 1.0))
    save_utterance(tmp_path, 0, utterance(10, 1.0), "out of sync")
    assert list(load_utterances(tmp_path)) == []
    said, reason = load_said(tmp_path, 0)
    assert (len(said.has_face), reason) == (10, "out of sync")
    save_utterance(tmp_path, 0, said)
    assert len(list(load_utterances(tmp_path))) == 1
    assert not list((tmp_path / "dropped").iterdir())


def test_of_a_teacher_that_mostly_fails_nothing_is_taken() -> None:
    half = {0: "late", 1: "", 2: "", 3: "flat"}
    assert distrust(half, 0.5) == half
    assert distrust({**half, 2: "flat"}, 0.5) == {
        0: "late", 1: FAILING_TEACHER, 2: "flat", 3: "flat"
    }  # fmt: skip
    assert distrust({**half, 2: "flat"}, 1.0) == {**half, 2: "flat"}
    assert distrust({}, 0.0) == {}


@pytest.mark.parametrize(("faceless", "kept"), [(0, 3), (1, 0)])
def test_sentences_without_a_face_count_as_failures(
    faceless: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of five are flat: with one more that has no face, most have failed."""
    planned = [Sentence(n, tmp_path / f"{n}.wav", 0.4 * n, 0.4, "voice") for n in range(5)]
    for item in planned:
        lost = item.number < faceless
        save_utterance(tmp_path, item.number, utterance(10, 1.0), "a face is missing" * lost)
    asked = 5 - faceless
    reasons = tuple(FLAT if place >= asked - 2 else "" for place in range(asked))
    found = Screening(reasons, (None,) * asked, 0.0, 0.0, knows=False)
    monkeypatch.setattr(screening, "screen", lambda *_: found)
    for name in ("_gap_mm", "_spoken"):
        monkeypatch.setattr(screening, name, lambda *_: None)
    monkeypatch.setattr(screening, "_open_lips", lambda *_: "")
    own = type("Own", (), {"meter": None, "spoken": None, "in_sync": False})()
    for _ in range(2):  # a second time comes to the same
        screen_sentences(tmp_path, planned, own, GateConfig())
        assert len(list(load_utterances(tmp_path))) == kept
    if not kept:
        assert load_said(tmp_path, 1)[1] == FAILING_TEACHER
