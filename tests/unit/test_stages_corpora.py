"""Corpora as they lie on disk: LRS2, LibriSpeech, loose files; splits, speakers, transcripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.stages.corpora import find_recordings, read_words


def put(folder: Path, *names: str, text: str = "") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def lrs2(tmp_path: Path) -> Path:
    put(tmp_path, *(f"main/{who}/{n:05}.mp4" for who in ("63", "64") for n in (1, 2)))
    put(tmp_path, "pretrain/63/00009.mp4")
    put(tmp_path, "main/63/00001.txt", text="Text:  WHEN YOU'RE COOKING\nConf:  4\n")
    put(tmp_path, "filelists/train.txt", text="63/00001\n64/00002 NF\n")
    return put(tmp_path, "filelists/pretrain.txt", text="63/00009\n")


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    put(tmp_path, "train-clean-100/84/121/84-121-0000.flac")
    put(tmp_path, "train-clean-100/84/122/84-122-0003.flac", "dev-clean/174/50/174-50-0001.flac")
    return put(
        tmp_path, "train-clean-100/84/121/84-121.trans.txt", text="84-121-0000 GO DO YOU HEAR\n"
    )


def test_the_lists_of_lrs2_choose_what_is_read(lrs2: Path) -> None:
    train = find_recordings(lrs2, "train")
    assert [item.name for item in train] == ["main/63/00001.mp4", "main/64/00002.mp4"]
    assert [item.speaker for item in train] == ["63", "64"]
    assert [item.name for item in find_recordings(lrs2, "pretrain")] == ["pretrain/63/00009.mp4"]
    assert len(find_recordings(lrs2)) == 5


def test_librispeech_names_its_speakers(librispeech: Path) -> None:
    assert [item.speaker for item in find_recordings(librispeech)] == ["174", "84", "84"]
    train = find_recordings(librispeech, "train-clean-100")
    assert {item.speaker for item in train} == {"84"}


def test_what_is_said_comes_from_beside_the_recording(lrs2: Path) -> None:
    assert read_words(lrs2 / "main/63/00001.mp4") == "WHEN YOU'RE COOKING"
    assert read_words(lrs2 / "main/63/00002.mp4") is None


def test_librispeech_keeps_a_chapters_words_in_one_file(librispeech: Path) -> None:
    said = librispeech / "train-clean-100/84/121/84-121-0000.flac"
    assert read_words(said) == "GO DO YOU HEAR"
    assert read_words(librispeech / "dev-clean/174/50/174-50-0001.flac") is None


def test_any_tree_of_recordings_is_a_corpus(tmp_path: Path) -> None:
    put(tmp_path, "anna/1.WAV", "anna/2.opus", "ben/1.mpg", "loose.mp3", "readme.md")
    found = find_recordings(tmp_path)
    assert [item.name for item in found] == ["anna/1.WAV", "anna/2.opus", "ben/1.mpg", "loose.mp3"]
    assert [item.speaker for item in found] == ["anna", "anna", "ben", "loose"]


def test_an_absent_or_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no speech folder"):
        find_recordings(tmp_path / "absent")
    with pytest.raises(MissingAssetError, match="no recording"):
        find_recordings(tmp_path)


def test_an_unknown_split_is_refused_with_those_there_are(lrs2: Path) -> None:
    with pytest.raises(ConfigError, match="pretrain, train"):
        find_recordings(lrs2, "test")
    put(lrs2, "filelists/test.txt", text="99/00001\n")
    with pytest.raises(MissingAssetError, match="split test"):
        find_recordings(lrs2, "test")
