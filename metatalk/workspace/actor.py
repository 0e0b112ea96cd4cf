"""The actor folder: one artefact a stage, whole or absent, and a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from metatalk.errors import BusyActorError, MetatalkError, MissingAssetError
from metatalk.workspace.digest import digest_folder
from metatalk.workspace.manifest import (
    Cause,
    Manifest,
    Metrics,
    finish_manifest,
    read_cause,
    read_manifest,
    write_json,
    write_manifest,
)


@dataclass(frozen=True)
class ActorFolder:
    """Artefacts of one actor, or of one target clip, under one folder.

    >>> ActorFolder(Path("actors/jane")).path("fit").as_posix()
    'actors/jane/fit'
    """

    root: Path

    def path(self, stage: str) -> Path:
        """The folder of a stage's artefact, made or not."""
        return self.root / stage

    def require(self, stage: str) -> Path:
        """The folder of a finished artefact.

        Args:
            stage: the stage that makes it.

        Returns:
            The folder.

        Raises:
            MissingAssetError: it has not been made.
        """
        self.settle(stage)
        if self.manifest(stage) is None:
            raise MissingAssetError(
                f"{self.root}: no finished {stage}",
                f"make the actor first: metatalk train CLIP --actor {self.root}",
            )
        return self.path(stage)

    def manifest(self, stage: str) -> Manifest | None:
        """The record of a finished artefact, or None where there is none."""
        return read_manifest(self.path(stage))

    def begin(self, cause: Cause, resume: bool) -> Path:
        """Open the partial folder in which a stage writes its artefact.

        Args:
            cause: what the artefact is made from; it is stored in the folder.
            resume: keep what a killed run left there under the same cause.

        Returns:
            The folder `STAGE.partial`, empty unless resumed.
        """
        partial = self._partial(cause.stage)
        if not (resume and read_cause(partial) == cause):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_json(partial / "cause.json", asdict(cause))
        return partial

    def finish(self, cause: Cause, metrics: Metrics, seconds: float) -> Manifest:
        """Turn the partial folder into the artefact, in place of an older one.

        Args:
            cause: the cause it was begun with.
            metrics: the stage's figures.
            seconds: wall clock the stage took.

        Returns:
            The manifest now beside the artefact.
        """
        partial = self._partial(cause.stage)
        manifest = finish_manifest(cause, digest_folder(partial), metrics, seconds)
        write_manifest(partial, manifest)
        self.settle(cause.stage)
        return manifest

    def settle(self, stage: str) -> None:
        """Complete the renames that a killed run may have left half done.

        Args:
            stage: the stage whose artefact is looked at.
        """
        whole, partial, old = self.path(stage), self._partial(stage), self._old(stage)
        if (partial / "manifest.json").is_file():
            if whole.exists():
                shutil.rmtree(old, ignore_errors=True)
                whole.rename(old)
            (partial / "cause.json").unlink(missing_ok=True)
            partial.rename(whole)
        if old.exists():
            if whole.exists():
                shutil.rmtree(old)
            else:
                old.rename(whole)

    @contextmanager
    def lock(self, shared: bool = False) -> Iterator[None]:
        """Keep other processes off the folder; the lock dies with the process.

        Args:
            shared: let others in who only read, as `drive` does.

        Yields:
            Nothing; the folder exists and is held while inside.

        Raises:
            BusyActorError: another process holds it.
            MetatalkError: the folder cannot be made or written.
        """
        with disk_errors_remedied(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take(descriptor, shared)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, shared: bool) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise BusyActorError(
                f"{self.root}: in use by another process"
                + (f" (number {holder})" if holder else ""),
                "wait until it ends, or work on another actor folder",
            ) from error
        if not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def _partial(self, stage: str) -> Path:
        return self.root / f"{stage}.partial"

    def _old(self, stage: str) -> Path:
        return self.root / f"{stage}.old"


@contextmanager
def disk_errors_remedied(folder: Path) -> Iterator[None]:
    """Say what to do about a disk that refuses."""
    try:
        yield
    except OSError as error:
        remedy = _DISK_REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise MetatalkError(f"{error.filename or folder}: {error.strerror}", remedy) from error


_DISK_REMEDIES = {
    errno.EACCES: "give yourself the right to write there, or name another --actor folder",
    errno.EPERM: "give yourself the right to write there, or name another --actor folder",
    errno.EROFS: "the disk is read-only: use a folder, or a copy of the actor, on another one",
    errno.ENOSPC: "the disk is full: free some space and run again, finished stages are kept",
    errno.EDQUOT: "your quota is used up: free some space and run again, finished stages are kept",
    errno.EEXIST: "a file of that name is in the way: name another --actor folder",
    errno.ENOTDIR: "part of the path is a file: name another --actor folder",
}
