"""Preparing a corpus: what is written, what is left out, what is not done twice."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_corpora import CLICK_S, KnowingDetector, bad_clips, know_faces, prepare, talking_clip

import metatalk.cli.prepare  # noqa: F401 (it adds its command)
from metatalk.errors import (
    ConfigError,
    MediaError,
    MissingAssetError,
)
from metatalk.lipsync.mel import wav2lip_mel
from metatalk.stages import lipsync_tracks
from metatalk.stages.lipsync_clips import find_clips
from metatalk.stages.lipsync_corpus import open_corpus, read_sources
from metatalk.stages.lipsync_prepare import prepare_corpus
from metatalk.stages.lipsync_tracks import Preparation
from metatalk.stages.stage import silent_progress


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return know_faces(monkeypatch)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking_clip(tmp_path_factory.mktemp("clips") / "a b.c.mp4")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


# -- what is written -------------------------------------------------------------------------------


def test_a_track_holds_faces_and_their_sound(clip: Path, corpus: Path) -> None:
    outcome = prepare(corpus, clip, terms="ours")
    [track] = open_corpus(corpus)
    folder = corpus / "tracks" / track.name
    assert track.faces.shape == (75, 128, 128, 3)
    assert track.faces.dtype == np.uint8
    with wave.open(str(folder / "sound.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        sound = np.frombuffer(file.readframes(10**9), "<i2").astype(np.float32) / 32768
    assert len(sound) == round((75 / 25 + 0.2) * 16_000)
    np.testing.assert_allclose(track.mel, wav2lip_mel(sound), atol=1e-4)
    assert np.abs(sound).argmax() == pytest.approx(float(CLICK_S) * 16_000, abs=80)
    record = json.loads((folder / "track.json").read_text())
    assert record["frames"] == 75
    assert record["start_s"] == 0
    left, _, right, _ = record["mean_box"]
    assert left == pytest.approx(20, abs=3)
    assert right == pytest.approx(76, abs=3)
    assert (track.source, track.split) == ("a b.c.mp4", None)
    assert [each.terms for each in read_sources(corpus).values()] == ["ours"]
    assert outcome.metrics()["minutes"] == pytest.approx(3 / 60)


def test_a_track_that_begins_later_keeps_its_time(
    clip: Path, corpus: Path, detector: dict[str, Any]
) -> None:
    detector["first"] = 25
    prepare(corpus, clip)
    [track] = open_corpus(corpus)
    assert len(track.faces) == 50
    onset = int(track.mel.max(axis=0).argmax())
    assert onset == pytest.approx((float(CLICK_S) - 1) * 80, abs=4)


@pytest.mark.parametrize(
    ("rate", "frames"), [(Fraction(30), 75), (Fraction(1350, 61), 75), (Fraction(50), 75)]
)
def test_any_rate_becomes_25(tmp_path: Path, corpus: Path, rate: Fraction, frames: int) -> None:
    source = talking_clip(tmp_path / "clip.mp4", int(3 * rate), rate=rate)
    prepare(corpus, source)
    [track] = open_corpus(corpus)
    assert abs(len(track.faces) - frames) <= 1
    assert np.ptp(np.diff(track.faces.reshape(len(track.faces), -1)[:, 0].astype(int))) >= 0
    assert int(track.mel.max(axis=0).argmax()) == pytest.approx(120, abs=4)


def test_a_variable_rate_is_followed_by_its_times(tmp_path: Path, corpus: Path) -> None:
    steps = [1, 3] * 20 + [2] * 20  # on a clock of 50 a second
    pts = np.cumsum([0, *steps]).tolist()
    source = talking_clip(tmp_path / "clip.mp4", len(pts), time_base=Fraction(1, 50), pts=pts)
    prepare(corpus, source)
    [track] = open_corpus(corpus)
    assert abs(len(track.faces) - pts[-1] / 2) <= 2


def test_a_turned_clip_is_cut_upright(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = talking_clip(tmp_path / "clip.mp4", display=(0, 1, -1, 0))
    knowing = KnowingDetector()
    monkeypatch.setattr(lipsync_tracks, "_ready_detector", lambda config: knowing)
    prepare(corpus, source)
    assert knowing.shapes == {(96, 72, 3)}


def test_of_several_faces_the_largest_is_taken_and_it_is_said(
    clip: Path, corpus: Path, detector: dict[str, Any]
) -> None:
    detector["faces"] = 2
    outcome = prepare(corpus, clip)
    assert len(open_corpus(corpus)) == 1
    assert "up to 2 faces" in outcome.sources[0].notes[0]


def test_faces_that_were_not_kept_are_cut_from_the_clip(
    clip: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(corpus, clip)
    monkeypatch.setattr("metatalk.stages.lipsync_glimpses._MOST_BYTES", 100_000)
    prepare(tmp_path / "again", clip)
    [kept], [cut] = open_corpus(corpus), open_corpus(tmp_path / "again")
    np.testing.assert_array_equal(kept.faces, cut.faces)


def test_lists_beside_the_clips_give_the_split(clip: Path, tmp_path: Path) -> None:
    root = tmp_path / "lrs2"
    for name in ("main/12/00001", "main/12/00002", "pretrain/12/00001"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.mp4").symlink_to(clip)
    (root / "main/12/00001.txt").write_text("Text: HELLO")
    (root / "filelists").mkdir()
    (root / "filelists/train.txt").write_text("12/00001\n\n")
    (root / "filelists/test.txt").write_text("12/00002 NF MV\n")
    for name in ("main/12/00001", "main/12/00002", "pretrain/12/00001"):
        (root / f"{name}.mp4").unlink()
        (root / f"{name}.mp4").write_bytes(name.encode())
    splits = {each.name: each.split for each in find_clips([root])}
    assert splits == {
        "lrs2/main/12/00001.mp4": "train",
        "lrs2/main/12/00002.mp4": "test",
        "lrs2/pretrain/12/00001.mp4": None,
    }
    assert [each.split for each in find_clips([root / "main"])] == ["train", "test"]


def test_a_split_reaches_the_track(clip: Path, tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "in/main/1").mkdir(parents=True)
    (tmp_path / "in/main/1/00001.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "in/filelists").mkdir()
    (tmp_path / "in/filelists/val.txt").write_text("1/00001\n")
    prepare(corpus, tmp_path / "in")
    assert [track.split for track in open_corpus(corpus)] == ["val"]


# -- what is left out ------------------------------------------------------------------------------


def test_bad_clips_are_left_out_by_name(clip: Path, tmp_path: Path, corpus: Path) -> None:
    faults = bad_clips(tmp_path / "in", clip)
    outcome = prepare(corpus, tmp_path / "in", clip)
    assert [source.name for source in outcome.prepared] == ["a b.c.mp4"]
    said = {source.name: source.error for source in read_sources(corpus).values() if source.error}
    assert set(said) == {f"in/{name}" for name in faults}
    for name, fault in faults.items():
        assert fault in str(said[f"in/{name}"]), name
        assert not str(said[f"in/{name}"]).startswith(str(tmp_path)), name
    assert len(open_corpus(corpus)) == 1


def test_without_a_face_it_is_said(clip: Path, corpus: Path, detector: dict[str, Any]) -> None:
    detector["end"] = 0
    with pytest.raises(MediaError, match="a b.c.mp4: no face found in any of 75 frames"):
        prepare(corpus, clip)
    assert "sources" in json.loads((corpus / "corpus.json").read_text())
    with pytest.raises(MissingAssetError, match="holds no track"):
        open_corpus(corpus)


def test_what_breaks_a_library_is_the_clips_fault(
    clip: Path, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = talking_clip(tmp_path / "other.mp4", 60)
    whole = lipsync_tracks._open_clip

    def open_clip(path: Path, seconds: float) -> Any:
        if path == other:
            raise ZeroDivisionError("inside a library")
        return whole(path, seconds)

    monkeypatch.setattr(lipsync_tracks, "_open_clip", open_clip)
    outcome = prepare(corpus, clip, other)
    assert "ZeroDivisionError" in str(outcome.left_out[0].error)
    monkeypatch.setattr(lipsync_tracks, "_open_clip", whole)
    assert len(prepare(corpus, clip, other).prepared) == 2  # such a clip is tried again


def test_copies_are_taken_once(clip: Path, tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "copy.mp4").write_bytes(clip.read_bytes())
    outcome = prepare(corpus, clip, tmp_path / "copy.mp4")
    assert (outcome.copies, len(open_corpus(corpus))) == (1, 1)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [[], ["nowhere"], ["nothing"]])
def test_without_clips_there_is_nothing_to_do(named: list[str], tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MissingAssetError):
        prepare(tmp_path / "corpus", *(tmp_path / name for name in named))
    assert not (tmp_path / "corpus").exists()


def test_no_workers_prepare_nothing(clip: Path, corpus: Path) -> None:
    with pytest.raises(ConfigError, match="0 workers"):
        prepare_corpus([clip], corpus, Preparation(), silent_progress, workers=0)
