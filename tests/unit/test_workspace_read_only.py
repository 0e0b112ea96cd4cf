"""An actor that can only be read: it is locked where that can be, and never written."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from read_only_toys import refuse_writing

from metatalk.errors import BusyActorError, MetatalkError, MissingAssetError
from metatalk.workspace import actor
from metatalk.workspace.actor import ActorFolder, can_be_written
from metatalk.workspace.cache import cache_folder, writing_in
from metatalk.workspace.clip_places import clip_places
from metatalk.workspace.manifest import Cause

CAUSE = Cause("fit", 1, {}, {"clip": "aa"})
HOLD = """
import sys
from pathlib import Path
from metatalk.workspace.actor import ActorFolder
with ActorFolder(Path(sys.argv[1])).lock(shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


def fitted(root: Path, text: str = "one") -> ActorFolder:
    """An actor with a fit."""
    folder = ActorFolder(root)
    with folder.lock():
        (folder.begin(CAUSE, resume=False) / "x.txt").write_text(text)
        folder.finish(CAUSE, {}, 1.0)
    return folder


@contextmanager
def another_process(root: Path, kind: str) -> Iterator[None]:
    """Somebody else holds the folder, with the right to write."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == "held"
        yield
    finally:
        holder.communicate("")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_who_reads_needs_no_right_to_write(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = fitted(actor_root)
    refuse_writing(monkeypatch, actor_root, number)
    with folder.lock(shared=True), folder.lock(shared=True):
        assert (folder.require("fit") / "x.txt").read_text() == "one"
    with pytest.raises(MetatalkError, match="remedy"), folder.lock():
        pass


def test_a_writer_keeps_such_a_reader_out(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)
    with another_process(actor_root, "alone"):
        refuse_writing(monkeypatch, actor_root)
        with pytest.raises(BusyActorError), folder.lock(shared=True):
            pass


def test_such_a_reader_keeps_a_writer_out(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)
    with monkeypatch.context() as mounted:
        refuse_writing(mounted, actor_root)
        reading = folder.lock(shared=True)
        reading.__enter__()
    try:
        with pytest.raises(BusyActorError) as refused, folder.lock():
            pass
        assert "number" not in str(refused.value)  # of whoever wrote there before
    finally:
        reading.__exit__(None, None, None)
    with folder.lock():
        pass


def test_a_copy_without_its_lock_is_read_without_one(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)
    (actor_root / ".lock").unlink()
    refuse_writing(monkeypatch, actor_root)
    with folder.lock(shared=True):
        assert not (actor_root / ".lock").exists()


def test_a_lock_that_cannot_be_read_is_told(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)

    def refuse(path: Path, flags: int, mode: int = 0) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(actor.os, "open", refuse)
    with pytest.raises(MetatalkError, match=r"chmod a\+r"), folder.lock(shared=True):
        pass


def test_a_disk_without_locks_can_be_read_and_not_written(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    folder = fitted(actor_root)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with folder.lock(shared=True):
        pass
    with pytest.raises(MetatalkError, match="knows no locks"), folder.lock():
        pass


def refuse_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "rename", refuse)


def test_an_artefact_that_was_to_be_replaced_is_still_whole(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)
    shutil.copytree(actor_root / "fit", actor_root / "fit.partial")
    (actor_root / "fit.partial" / "x.txt").write_text("two")
    refuse_renames(monkeypatch)
    assert (folder.require("fit") / "x.txt").read_text() == "one"


def test_who_writes_is_told_that_a_rename_is_refused(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)
    again = replace(CAUSE, revision=2)
    (folder.begin(again, resume=False) / "x.txt").write_text("two")
    with monkeypatch.context() as mounted:
        refuse_renames(mounted)
        with pytest.raises(MetatalkError, match="read-only"):
            folder.finish(again, {}, 1.0)
    stored = folder.manifest("fit")
    assert stored is not None
    assert stored.cause.revision == 1
    assert (folder.path("fit") / "x.txt").read_text() == "one"
    # What was computed is kept, and comes to its place as soon as it may.
    assert (folder.require("fit") / "x.txt").read_text() == "two"


def test_an_artefact_that_is_between_two_names_is_told(
    actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted(actor_root)
    (actor_root / "fit").rename(actor_root / "fit.old")
    with monkeypatch.context() as mounted:
        refuse_renames(mounted)
        with pytest.raises(MissingAssetError, match="can be written"):
            folder.require("fit")
    assert folder.require("fit").is_dir()


def test_what_can_be_written_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    assert can_be_written(tmp_path)
    assert can_be_written(deep)
    assert not deep.exists()
    assert list(tmp_path.iterdir()) == []
    for number, expected in ((errno.EROFS, False), (errno.EACCES, False), (errno.ENOSPC, True)):
        with monkeypatch.context() as mounted:
            refuse_writing(mounted, tmp_path, number)
            assert can_be_written(deep) is expected


def test_a_part_that_can_be_written_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A studio may let all write into `targets` of an actor, and nowhere else."""
    folder = fitted(tmp_path / "jane")
    (tmp_path / "clip.mp4").write_bytes(b"film")
    places = clip_places(folder, tmp_path / "clip.mp4")
    places.own.parent.mkdir()
    plain = os.open

    def refusing(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_RDWR | os.O_CREAT) and folder.root in (
            Path(path),
            Path(path).parent,
        ):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return plain(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    assert not can_be_written(folder.root)
    assert can_be_written(places.own)


def test_the_place_aside_goes_with_the_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"film")
    jane, again = fitted(tmp_path / "jane"), fitted(tmp_path / "mounted" / "elsewhere")
    other = fitted(tmp_path / "other", "fitted anew")
    aside = clip_places(jane, clip).aside
    assert aside.is_relative_to(tmp_path / "cache")
    assert clip_places(again, clip).aside == aside
    assert clip_places(other, clip).aside != aside
    assert clip_places(other, clip).own.name == aside.name
    assert clip_places(jane, clip, other_person=True).own.name == f"{aside.name}-other"
    assert not (tmp_path / "cache").exists()


def test_the_cache_lies_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("METATALK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "metatalk"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "metatalk"
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_cache_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(MissingAssetError, match="METATALK_CACHE"),
        writing_in(tmp_path / "file" / "x"),
    ):
        pass

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("METATALK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(MissingAssetError, match="METATALK_CACHE"):
        cache_folder()
