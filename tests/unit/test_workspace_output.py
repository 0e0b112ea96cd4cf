"""Folders of pictures and lists beside a result: nothing that is read is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import MediaError
from metatalk.workspace.output import require_no_source, require_output_folder, written_aside


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


@pytest.mark.parametrize("way", ["itself", "link", "here"])
def test_somebodys_plates_are_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    plates = tmp_path / "shot"
    plates.mkdir()
    (plates / "shot.000001.png").write_bytes(b"a plate")
    folder = plates
    if way == "link":
        folder = tmp_path / "out"
        folder.symlink_to(plates, target_is_directory=True)
    elif way == "here":
        monkeypatch.chdir(plates)
        folder = Path()
    with pytest.raises(MediaError, match="did not write, such as shot.000001.png"):
        require_output_folder(folder, [])
    (plates / "shot.json").write_text('{"comment": "synthetic: the mouth was generated"}')
    require_output_folder(folder, [])  # a result, which may be made again
    (plates / "shot.json").write_text('{"comment": "ours"}')
    with pytest.raises(MediaError, match="did not write"):
        require_output_folder(folder, [])


def test_what_is_written_aside_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"

    def fail() -> None:
        with written_aside(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with written_aside(path) as partial:
        assert partial.suffix == ".csv"
        partial.write_text("whole")
    assert [one.name for one in tmp_path.iterdir()] == ["list.csv"]
