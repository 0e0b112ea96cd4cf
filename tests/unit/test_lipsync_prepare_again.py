"""Preparing a corpus again: what is not done twice, and what is not mixed."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from prepared_corpora import know_faces, prepare, talking_clip

import metatalk.cli.prepare  # noqa: F401 (it adds its command)
from metatalk.errors import (
    BusyActorError,
    MetatalkError,
    MissingAssetError,
    StaleArtefactError,
)
from metatalk.stages import lipsync_prepare, lipsync_tracks
from metatalk.stages.lipsync_corpus import open_corpus, read_sources
from metatalk.workspace.actor import ActorFolder


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return know_faces(monkeypatch)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking_clip(tmp_path_factory.mktemp("clips") / "a b.c.mp4")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


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
    assert [each.terms for each in read_sources(corpus).values()] == ["asked for"]
    prepare(corpus, clip, terms="CC BY 4.0")
    assert [each.terms for each in read_sources(corpus).values()] == ["CC BY 4.0"]
    [record] = (corpus / "tracks").glob("*/track.json")
    assert json.loads(record.read_text())["terms"] == "CC BY 4.0"


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
