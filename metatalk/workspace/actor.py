"""The actor folder: one artefact a stage, whole or absent, and a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
            self._refuse_half_renamed(stage)
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

        Raises:
            MetatalkError: the disk refuses; an older artefact is still whole.
        """
        partial = self._partial(cause.stage)
        manifest = finish_manifest(cause, digest_folder(partial), metrics, seconds)
        write_manifest(partial, manifest)
        with disk_errors_remedied(self.root):  # unlike a reader: what is told must be on the disk
            self._complete_renames(cause.stage)
        return manifest

    def settle(self, stage: str) -> None:
        """Complete the renames that a killed run may have left half done.

        Where the folder cannot be written they stay as they are: an older artefact that is still
        in its place is whole, and read.

        Args:
            stage: the stage whose artefact is looked at.
        """
        try:
            self._complete_renames(stage)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise

    def _complete_renames(self, stage: str) -> None:
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

        Who only reads needs no right to write: a lock that others made is held by reading it,
        and where there is none and none can be made, nobody writes.

        Args:
            shared: let others in who only read, as `drive` does.

        Yields:
            Nothing; the folder exists and is held while inside.

        Raises:
            BusyActorError: another process holds it.
            MetatalkError: the folder cannot be made or written, or its lock not be read.
        """
        descriptor = self._open_lock(shared)
        if descriptor is None:
            yield
            return
        try:
            self._take(descriptor, shared)
            try:
                yield
            finally:
                if not shared:  # who is refused by a reader is not to be told of this process
                    with suppress(OSError):
                        os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _open_lock(self, shared: bool) -> int | None:
        """The lock's file, open; None where a reader finds none and cannot make one."""
        place = self.root / ".lock"
        try:
            with disk_errors_remedied(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                return os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        except MetatalkError:
            if not shared or not self.root.is_dir():
                raise
        try:
            return os.open(place, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            # Somebody may hold it: to read on unlocked could be to read half of an artefact.
            raise MetatalkError(
                f"{place}: {error.strerror}", f"let its owner: chmod a+r {place}"
            ) from error

    def _take(self, descriptor: int, shared: bool) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                if shared:  # whoever writes there is refused, below
                    return
                raise MetatalkError(
                    f"{self.root}: its disk knows no locks ({error.strerror})",
                    "mount it with locks, or work on an actor folder on another disk",
                ) from error
            if not isinstance(error, BlockingIOError):
                raise
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise BusyActorError(
                f"{self.root}: in use by another process"
                + (f" (number {holder})" if holder else ""),
                "wait until it ends, or work on another actor folder",
            ) from error
        if not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def _refuse_half_renamed(self, stage: str) -> None:
        """Tell what was left half renamed, where `settle` could not put it right."""
        if self._old(stage).is_dir() or (self._partial(stage) / "manifest.json").is_file():
            raise MissingAssetError(
                f"{self.root}: a run that was killed left its {stage} under another name",
                "use the actor once from where its folder can be written: that puts it right",
            )

    def _partial(self, stage: str) -> Path:
        return self.root / f"{stage}.partial"

    def _old(self, stage: str) -> Path:
        return self.root / f"{stage}.old"


def can_be_written(folder: Path) -> bool:
    """Tell whether somebody who may, could make files in a folder: whether it is ours to write.

    Args:
        folder: made or not; of one that is not made, the nearest above it counts.

    Returns:
        Whether it is. A disk that is full is: what fails there is told as it is.
    """
    place = next((above for above in (folder, *folder.parents) if above.is_dir()), folder)
    try:
        with tempfile.TemporaryFile(dir=place):  # a share's server may refuse what its mode allows
            return True
    except OSError as error:
        return error.errno not in _NOT_OURS


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


_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_DISK_REMEDIES = {
    errno.EACCES: "give yourself the right to write there, or name another --actor folder",
    errno.EPERM: "give yourself the right to write there, or name another --actor folder",
    errno.EROFS: "the disk is read-only: use a folder, or a copy of the actor, on another one",
    errno.ENOSPC: "the disk is full: free some space and run again, finished stages are kept",
    errno.EDQUOT: "your quota is used up: free some space and run again, finished stages are kept",
    errno.EEXIST: "a file of that name is in the way: name another --actor folder",
    errno.ENOTDIR: "part of the path is a file: name another --actor folder",
}
