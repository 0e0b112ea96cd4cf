"""Folders of pictures and lists beside a result: nothing that is read is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import MediaError
from metatalk.workspace.output import require_no_source, require_output_folder


def test_a_folder_of_pictures_may_be_new_or_there(tmp_path: Path) -> None:
    require_output_folder(tmp_path / "a" / "shot", [tmp_path / "words.wav"])
    assert (tmp_path / "a").is_dir()
    assert not (tmp_path / "a" / "shot").exists()  # whoever fills it makes it
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "shot.000001.png").write_bytes(b"old")
    require_output_folder(tmp_path / "b", [])
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["shot.000001.png"]


def test_a_folder_that_cannot_be_filled_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "in").mkdir()
    words = tmp_path / "in" / "words.wav"
    words.write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder, told in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "shot", "cannot be written"),
        (tmp_path / "in", "to work from"),
        (tmp_path / "link", "to work from"),
        (tmp_path / "in" / ".." / "in", "to work from"),
    ):
        with pytest.raises(MediaError, match=told) as refusal:
            require_output_folder(folder, [words])
        assert refusal.value.remedy
    require_output_folder(tmp_path / "in" / "shot", [words])  # beside it is no matter
    assert words.read_bytes() == b""


def test_no_output_replaces_a_source_under_any_name(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"")
    (tmp_path / "link.csv").symlink_to(clip)
    require_no_source([tmp_path / "a.csv", tmp_path / "b.otio"], [clip])
    for output in (clip, tmp_path / "link.csv", tmp_path / "x" / ".." / "clip.mp4"):
        with pytest.raises(MediaError, match="to work from"):
            require_no_source([tmp_path / "a.csv", output], [tmp_path / "b.wav", clip])
    require_no_source([], [clip])
    require_no_source([clip], [])
