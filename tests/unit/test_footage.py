"""The training clip's place is remembered, and any change of it noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import MediaError
from metatalk.workspace.footage import FILE, find_footage, is_footage, remember_footage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "jane"
    folder.mkdir()
    return folder


def test_the_clip_is_found_again(root: Path, footage: Path):
    remember_footage(root, footage)
    assert find_footage(root) == footage.resolve()
    assert (root / FILE).is_file()


def test_its_place_does_not_hang_on_where_one_stands(
    root: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(footage.parent)
    remember_footage(root, Path(footage.name))
    monkeypatch.chdir(root)
    assert find_footage(root) == footage.resolve()


def test_the_last_clip_counts(root: Path, footage: Path):
    remember_footage(root, footage)
    other = footage.with_name("other.mp4")
    other.write_bytes(b"another")
    remember_footage(root, other)
    assert find_footage(root) == other.resolve()


def test_a_link_leads_to_the_clip_itself(root: Path, footage: Path):
    link = footage.with_name("link.mp4")
    link.symlink_to(footage)
    remember_footage(root, link)
    link.unlink()
    assert find_footage(root) == footage.resolve()


def test_an_actor_without_a_note(root: Path):
    with pytest.raises(MediaError, match="does not say") as caught:
        find_footage(root)
    assert "--target" in caught.value.remedy


def test_a_clip_that_has_gone(root: Path, footage: Path):
    remember_footage(root, footage)
    footage.unlink()
    with pytest.raises(MediaError, match="no longer at") as caught:
        find_footage(root)
    assert "--target" in caught.value.remedy
    assert str(footage) in caught.value.problem


def test_a_clip_that_is_another_now(root: Path, footage: Path):
    remember_footage(root, footage)
    footage.write_bytes(b"something else!!!!")  # of the same length
    with pytest.raises(MediaError, match="not the file") as caught:
        find_footage(root)
    assert "--target" in caught.value.remedy


def test_the_training_clip_is_known_wherever_it_lies(tmp_path: Path) -> None:
    clip, moved, other = (tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4"))
    clip.write_bytes(b"one")
    other.write_bytes(b"two")
    (tmp_path / "actor").mkdir()
    assert not is_footage(tmp_path / "actor", clip)
    remember_footage(tmp_path / "actor", clip)
    clip.rename(moved)
    assert is_footage(tmp_path / "actor", moved)
    assert not is_footage(tmp_path / "actor", other)
