"""An actor on a share that can only be read speaks all the same, and nothing in it changes."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

import pytest

from metatalk.media.video import index_frames
from metatalk.workspace import clip_places

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("mkdir", "rename", "replace", "unlink", "rmdir", "symlink", "link", "truncate", "utime")


def refuse_writing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a mount that is read-only refuses: modes would bind no superuser."""
    folder = folder.resolve()

    def lies_there(path: Any) -> bool:
        is_name = isinstance(path, str | os.PathLike)  # not a descriptor: its opening was judged
        return is_name and Path(os.path.realpath(path)).is_relative_to(folder)

    def refuse(path: Any) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    plain_open, plain_io = os.open, io.open

    def open_descriptor(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & _WRITES and lies_there(path):
            refuse(path)
        return plain_open(path, flags, *rest, **more)

    def open_file(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if set(mode) & set("wax+") and lies_there(file):
            refuse(file)
        return plain_io(file, mode, *rest, **more)

    def guarded(plain: Callable[..., Any]) -> Callable[..., Any]:
        def change(*paths: Any, **more: Any) -> Any:
            for path in paths:
                if lies_there(path):
                    refuse(path)
            return plain(*paths, **more)

        return change

    monkeypatch.setattr(os, "open", open_descriptor)
    monkeypatch.setattr(io, "open", open_file)
    monkeypatch.setattr(builtins, "open", open_file)
    for name in _CHANGES:
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))


def state(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file and folder below one: its size, time of writing and content."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder).as_posix()] = (
            status.st_size,
            status.st_mtime_ns,
            blake2b(content).hexdigest(),
        )
    return found


def test_a_change_of_any_kind_is_refused_and_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / "a").write_text("one")
    changes: list[Callable[[], Any]] = [
        lambda: (share / "a").write_text("two"),
        lambda: open(share / "a", "r+b").close(),  # noqa: PTH123
        lambda: (share / "b").mkdir(),
        lambda: (share / "a").rename(share / "c"),
        lambda: (tmp_path / "d").replace(share / "a"),
        lambda: (share / "a").unlink(),
        lambda: (share / "b").touch(),
    ]
    before = state(share)
    with monkeypatch.context() as mounted:
        refuse_writing(mounted, share)
        for change in changes:
            with pytest.raises(OSError, match="Read-only"):
                change()
        assert (share / "a").read_text() == "one"
        (tmp_path / "d").write_text("elsewhere")
    assert state(share) == before
    os.utime(share / "a", ns=(0, 0))
    assert state(share) != before


def test_an_actor_that_can_only_be_read_speaks(
    actor: Path, clip: Path, recording: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    share = tmp_path / "share"  # as trained, and never driven
    shutil.copytree(actor, share, ignore=shutil.ignore_patterns("targets", ".lock"))
    monkeypatch.setattr(clip_places, "cache_folder", lambda: tmp_path / "cache")
    before = state(share)
    refuse_writing(monkeypatch, share)
    other = tmp_path / "copy.mp4"  # the same face in another file
    other.write_bytes(clip.read_bytes() + b"\0")
    for words, told in (
        (("drive", share, recording, "-o", tmp_path / "own.mp4"), "cannot be written"),
        (("drive", share, recording, "-o", tmp_path / "again.mp4"), None),
        (("drive", share, recording, "--target", other, "-o", tmp_path / "other.mp4"), "is kept"),
        (("live", share, recording, "--target", other, "-o", tmp_path / "live.mkv"), None),
        (("export", share, "--target", other, "-o", tmp_path / "curves.csv"), None),
        (("ledger", share), None),
    ):
        code, _, err = run(*words)
        assert code == 0, err
        spoken = " ".join(err.split())
        assert (told or "") in spoken
        assert ("cannot be written" in spoken) == (told is not None)
        assert "not measured yet" not in spoken
        assert state(share) == before, words
    for name in ("own.mp4", "again.mp4", "other.mp4", "live.mkv"):
        assert len(index_frames(tmp_path / name)) == 50
    ledger = json.loads((tmp_path / "other.mp4.ledger.json").read_text())
    assert ledger["synthetic"] is True
    code, _, err = run("train", clip, "--actor", share)
    assert code == 2
    assert "read-only" in err
    assert state(share) == before
