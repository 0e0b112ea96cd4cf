"""Preparing a corpus: what is written, what is left out, what is not done twice."""

from __future__ import annotations

import errno
import importlib.util
import json
import logging
import pickle
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_corpora import CLICK_S, KnowingDetector, talking_clip
from typer.testing import CliRunner

import metatalk.cli.prepare  # noqa: F401 (it adds its command)
from metatalk.cli.app import app
from metatalk.errors import (
    BusyActorError,
    ConfigError,
    MediaError,
    MetatalkError,
    MissingAssetError,
    StaleArtefactError,
)
from metatalk.lipsync.mel import wav2lip_mel
from metatalk.lipsync.tracks import Track
from metatalk.media.picture import Picture
from metatalk.stages import lipsync_corpus, lipsync_prepare, lipsync_tracks
from metatalk.stages.lipsync_clips import find_clips
from metatalk.stages.lipsync_corpus import corpus_terms, open_corpus, read_sources
from metatalk.stages.lipsync_glimpses import GlimpsedFaces
from metatalk.stages.lipsync_prepare import Outcome, prepare_corpus
from metatalk.stages.lipsync_tracks import Preparation
from metatalk.stages.stage import silent_progress
from metatalk.workspace.actor import ActorFolder


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the detector of each clip is told."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(lipsync_tracks, "_ready_detector", lambda config: KnowingDetector(**told))
    return told


def prepare(corpus: Path, *clips: Path, seconds: float = 1.0, **options: Any) -> Outcome:
    preparation = Preparation(min_seconds=seconds)
    return prepare_corpus(list(clips), corpus, preparation, silent_progress, workers=1, **options)


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
    assert corpus_terms(corpus) == ["ours"]
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


def bad_clips(folder: Path, clip: Path) -> dict[str, str]:
    """Clips of which nothing can be cut, and what is said of each."""
    folder.mkdir()
    talking_clip(folder / "mute.mp4", sound_start_s=None)
    talking_clip(folder / "silent.mp4", sound_start_s=Fraction(100))
    talking_clip(folder / "short.mp4", 20, sound_start_s=Fraction(1, 2))
    (folder / "torn.mp4").write_bytes(clip.read_bytes()[:3000])
    (folder / "empty.mov").write_bytes(b"")
    (folder / "letter.mp4").write_text("Dear Sir or Madam")
    return {
        "mute.mp4": "no sound track",
        "silent.mp4": "silent",
        "short.mp4": "0.8",
        "torn.mp4": "not a video or audio file that can be read",
        "empty.mov": "is empty (0 bytes)",
        "letter.mp4": "not a video or audio file that can be read",
    }


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


# -- what is not done twice ------------------------------------------------------------------------


def worked_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that are prepared from here on."""
    names: list[str] = []
    real = lipsync_tracks.prepare_clip

    def prepare_clip(source: Any, *more: Any) -> Any:
        names.append(source.name)
        if len(names) > 1 and source.name == "stop.mp4":
            raise KeyboardInterrupt
        return real(source, *more)

    monkeypatch.setattr("metatalk.stages.lipsync_pool.prepare_clip", prepare_clip)
    return names


def test_what_is_done_is_kept(
    clip: Path, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = worked_on(monkeypatch)
    stop = talking_clip(tmp_path / "stop.mp4", 60)
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, clip, stop)
    assert len(open_corpus(corpus)) == 1
    names.clear()
    assert prepare(corpus, clip, stop).kept == 1
    assert names == ["stop.mp4"]
    assert prepare(corpus, clip, stop).kept == 2
    assert names == ["stop.mp4"]
    assert len(open_corpus(corpus)) == 2


def test_news_that_the_index_does_not_hold_are_read(
    clip: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed writes no index."""
    whole = lipsync_prepare.write_index

    def write_index_once(*words: Any) -> None:
        if not (corpus / "corpus.json").exists():
            whole(*words)

    monkeypatch.setattr(lipsync_prepare, "write_index", write_index_once)
    prepare(corpus, clip)
    monkeypatch.undo()
    assert json.loads((corpus / "corpus.json").read_text())["sources"] == []
    with (corpus / "sources.jsonl").open("a") as file:
        file.write('{"name": "torn off in the mid')
    assert len(open_corpus(corpus)) == 1
    assert prepare(corpus, clip).kept == 1
    assert not (corpus / "sources.jsonl").exists()


def test_half_a_track_is_made_anew(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    [track] = open_corpus(corpus)
    (corpus / "tracks" / track.name / "track.json").unlink()
    (corpus / "tracks" / "0123_00.partial").mkdir()
    assert prepare(corpus, clip).kept == 0
    assert [path.name for path in (corpus / "tracks").iterdir()] == [track.name]


def test_a_clip_that_changed_is_made_anew(tmp_path: Path, corpus: Path) -> None:
    path = talking_clip(tmp_path / "clip.mp4", 75)
    prepare(corpus, path)
    talking_clip(path, 50)
    prepare(corpus, path)
    [track] = open_corpus(corpus)
    assert len(track.faces) == 50


def test_new_terms_reach_what_is_done(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip, terms="asked for")
    prepare(corpus, clip)
    assert corpus_terms(corpus) == ["asked for"]
    prepare(corpus, clip, terms="CC BY 4.0")
    assert corpus_terms(corpus) == ["CC BY 4.0"]
    [record] = (corpus / "tracks").glob("*/track.json")
    assert json.loads(record.read_text())["terms"] == "CC BY 4.0"


# -- what is refused -------------------------------------------------------------------------------


def test_other_settings_are_not_mixed(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    with pytest.raises(StaleArtefactError, match=r"preparation.min_seconds: 1.0 -> 2.0"):
        prepare(corpus, clip, seconds=2.0)


def test_another_layout_is_not_read(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    index = json.loads((corpus / "corpus.json").read_text())
    (corpus / "corpus.json").write_text(json.dumps({**index, "format": 2}))
    for use in (lambda: open_corpus(corpus), lambda: prepare(corpus, clip)):
        with pytest.raises(StaleArtefactError, match="layout 2"):
            use()
    (corpus / "corpus.json").write_text("{")
    with pytest.raises(StaleArtefactError, match="damaged"):
        open_corpus(corpus)


def test_a_folder_of_something_else_is_left_alone(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(MetatalkError, match=r"holds something else \(holiday.jpg\)"):
        prepare(tmp_path, clip)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(MissingAssetError, match="is no prepared corpus"):
        open_corpus(tmp_path)
    with pytest.raises(MissingAssetError, match="no such folder"):
        open_corpus(tmp_path / "nowhere")


def test_two_at_once_are_refused(clip: Path, corpus: Path) -> None:
    with ActorFolder(corpus).lock(), pytest.raises(BusyActorError) as refused:
        prepare(corpus, clip)
    assert "--output" in refused.value.remedy


def test_a_full_disk_ends_the_run_and_is_explained(
    clip: Path, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(corpus, clip)

    def full(*words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lipsync_tracks, "_write_faces", full)
    with pytest.raises(MetatalkError, match="No space left") as refused:
        prepare(corpus, clip, talking_clip(tmp_path / "more.mp4", 50))
    assert "finished clips are kept" in refused.value.remedy
    assert len(open_corpus(corpus)) == 1


@pytest.mark.parametrize("named", [[], ["nowhere"], ["nothing"]])
def test_without_clips_there_is_nothing_to_do(named: list[str], tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MissingAssetError):
        prepare(tmp_path / "corpus", *(tmp_path / name for name in named))
    assert not (tmp_path / "corpus").exists()


def test_no_workers_prepare_nothing(clip: Path, corpus: Path) -> None:
    with pytest.raises(ConfigError, match="0 workers"):
        prepare_corpus([clip], corpus, Preparation(), silent_progress, workers=0)


# -- the reader ------------------------------------------------------------------------------------


def test_tracks_travel_without_their_pictures(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    [track] = open_corpus(corpus)
    assert isinstance(track, Track)
    assert isinstance(track.faces, np.memmap)
    sent = pickle.dumps(track)
    assert len(sent) < 2000
    back = pickle.loads(sent)
    assert (back.name, back.digest, back.split) == (track.name, track.digest, None)
    np.testing.assert_array_equal(back.faces[3:8], track.faces[3:8])
    with pytest.raises(ValueError, match="read-only"):
        track.faces[0] = 0


def test_a_track_that_is_gone_is_named(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    (corpus / "tracks" / open_corpus(corpus)[0].name / "faces.npy").unlink()
    with pytest.raises(MissingAssetError, match="is gone"):
        open_corpus(corpus)


def test_terms_are_those_of_clips_with_tracks(corpus: Path) -> None:
    corpus.mkdir()
    one = lipsync_corpus.Source("a", "1", terms="CC0", tracks=("1_00",))
    sources = [one, replace(one, digest="2", terms="ours"), replace(one, digest="3", tracks=())]
    lipsync_corpus.write_index(corpus, {}, {s.key: s for s in sources})
    assert corpus_terms(corpus) == ["CC0", "ours"]


# -- the command -----------------------------------------------------------------------------------


def test_the_command_says_what_it_did(clip: Path, tmp_path: Path, corpus: Path) -> None:
    bad_clips(tmp_path / "in", clip)
    words = ["lipsync", "prepare", str(clip), str(tmp_path / "in"), "-o", str(corpus)]
    words += ["--workers", "1", "--terms", "ours"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    assert "7 clips, 1 prepared, 6 left out:" in ended.stdout
    assert "  in/mute.mp4: it has no sound track" in ended.stdout
    ended = CliRunner().invoke(app, [*words, "--json"])
    told = json.loads(ended.stdout)
    assert (told["kept"], told["prepared"], told["tracks"]) == (7, 1, 1)
    assert told["left_out"]["in/mute.mp4"] == "it has no sound track"


def test_the_command_takes_settings(clip: Path, corpus: Path) -> None:
    words = ["lipsync", "prepare", str(clip), "-o", str(corpus), "--workers", "1"]
    ended = CliRunner().invoke(app, [*words, "landmarks.min_track_s=0.5"])
    assert ended.exit_code == 0, ended.output
    index = json.loads((corpus / "corpus.json").read_text())
    assert index["preparation"]["landmarks"]["min_track_s"] == 0.5
    assert {"rate": 25, "px": 128, "inner_px": 96}.items() <= index.items()
    logging.getLogger("metatalk").handlers.clear()
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert "prepared otherwise" in ended.stderr


def test_the_benchmark_adds_up_and_leaves_no_trace(clip: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "tools" / "benchmark_preparation.py"
    spec = importlib.util.spec_from_file_location("benchmark_preparation", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    before = (Picture.rgb, GlimpsedFaces.cut, lipsync_tracks.read_pictures)
    row = tool.measure(clip)
    assert row["frames"] == 75
    assert row["all"] == pytest.approx(sum(row[part] for part in (*tool.PARTS, "rest")))
    assert all(row[part] > 0 for part in ("decode", "cut"))
    assert before == (Picture.rgb, GlimpsedFaces.cut, lipsync_tracks.read_pictures)
