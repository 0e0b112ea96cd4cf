"""An actor on a share that can only be read speaks all the same, and nothing in it changes."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from metatalk.media.video import index_frames
from metatalk.workspace import clip_places

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def refuse_writing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a mount that is read-only refuses: modes would bind no superuser."""
    plain = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & _WRITES and Path(path).resolve().is_relative_to(folder):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return plain(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)


def test_an_actor_that_can_only_be_read_speaks(
    actor: Path, clip: Path, recording: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    share = tmp_path / "share"
    share.mkdir()
    for path in actor.iterdir():  # as trained, and never driven
        if path.name not in ("targets", ".lock"):
            (share / path.name).symlink_to(path)
    monkeypatch.setattr(clip_places, "cache_folder", lambda: tmp_path / "cache")
    before = sorted(share.iterdir())
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
    assert sorted(share.iterdir()) == before
    for name in ("own.mp4", "again.mp4", "other.mp4", "live.mkv"):
        assert len(index_frames(tmp_path / name)) == 50
    ledger = json.loads((tmp_path / "other.mp4.ledger.json").read_text())
    assert ledger["synthetic"] is True
    code, _, err = run("train", clip, "--actor", share)
    assert code == 2
    assert "read-only" in err
