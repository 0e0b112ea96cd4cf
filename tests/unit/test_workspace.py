from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from metatalk.errors import BusyActorError, MetatalkError, MissingAssetError, StaleArtefactError
from metatalk.workspace import digest
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.digest import digest_file, digest_folder, digest_path
from metatalk.workspace.ledger import Entry, read_ledger, record_entries, record_footage
from metatalk.workspace.manifest import Cause, explain_changes, read_manifest

CAUSE = Cause("fit", 1, {"fit": {"photo": {"steps": 400}}}, {"clip": "aa"})
HOLD = """
import sys
from pathlib import Path
from metatalk.workspace.actor import ActorFolder
with ActorFolder(Path(sys.argv[1])).lock(shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


def make(folder: ActorFolder, text: str, cause: Cause = CAUSE) -> None:
    (folder.begin(cause, resume=False) / "x.txt").write_text(text)
    folder.finish(cause, {"error_px": 1.5}, 2.0)


def hold(root: Path, kind: str) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "held"
    return holder


def test_digest_tells_contents_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "CHUNK_BYTES", 4)
    file = tmp_path / "file"
    digests = set()
    for content in (b"", b"abc", b"abcd", b"abcdefgh", b"abcdefgx", b"xbcdefgh", b"efghabcd"):
        file.write_bytes(content)
        digests.add(digest_file(file))
        assert digest_file(file) == digest_file(file)
    assert len(digests) == 7


def aged(file: Path, content: bytes) -> None:
    """Write a file as if it had been written long ago; what comes then, comes later than it.

    A disk's clock is coarser than the processor's, and on a busy machine it may stand for long.
    """
    file.write_bytes(content)
    os.utime(file, ns=(10**18, 10**18))
    watch = file.with_name(f"{file.name}.watch")
    watch.touch()
    while watch.stat().st_ctime_ns <= file.stat().st_ctime_ns:
        time.sleep(0.001)
        watch.touch()
    watch.unlink()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for every file that is really read; files count as old at once."""
    read: list[int] = []
    plain = digest._digest_descriptor
    monkeypatch.setattr(digest, "_digest_descriptor", lambda *args: read.append(1) or plain(*args))
    monkeypatch.setattr(digest, "_SETTLED_NS", 0)
    monkeypatch.setattr(digest, "_KNOWN", {})
    return read


def test_a_file_is_read_once_by_one_process(tmp_path: Path, readings: list[int]) -> None:
    file, link = tmp_path / "clip", tmp_path / "link"
    aged(file, b"film")
    link.symlink_to(file)
    first = digest_file(file)
    assert digest_file(link) == digest_file(tmp_path / ".." / tmp_path.name / "clip") == first
    assert len(readings) == 1


def test_a_file_that_was_written_again_is_read_again(tmp_path: Path, readings: list[int]) -> None:
    """Of the same size and with the same time of writing: the time of the change tells."""
    file, other = tmp_path / "clip", tmp_path / "other"
    aged(file, b"film")
    first = digest_file(file)
    aged(file, b"FILM")
    second = digest_file(file)
    aged(other, b"f1lm")
    other.replace(file)
    assert len({first, second, digest_file(file)}) == 3
    assert len(readings) == 3


def test_a_file_just_written_is_not_remembered(
    tmp_path: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_SETTLED_NS", 10**12)
    (tmp_path / "clip").write_bytes(b"film")
    assert digest_file(tmp_path / "clip") == digest_file(tmp_path / "clip")
    assert len(readings) == 2
    (tmp_path / "clip").unlink()
    with pytest.raises(MissingAssetError):
        digest_file(tmp_path / "clip")


def test_digest_of_a_folder_counts_names_not_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x").write_text("same")
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")
    (tmp_path / "b" / "sub" / "x").rename(tmp_path / "b" / "sub" / "y")
    assert digest_folder(tmp_path / "a") != digest_folder(tmp_path / "b")


def test_digest_of_an_artefact_is_its_manifests(actor_root: Path) -> None:
    folder = ActorFolder(actor_root)
    make(folder, "one")
    assert digest_path(folder.path("fit")) == digest_folder(folder.path("fit"))


def test_digest_of_nothing_is_an_error_with_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="remedy"):
        digest_file(tmp_path / "nothing")


def test_manifest_round_trip(actor_root: Path) -> None:
    folder = ActorFolder(actor_root)
    make(folder, "one")
    manifest = folder.manifest("fit")
    assert manifest is not None
    assert manifest.cause == CAUSE
    assert manifest.metrics == {"error_px": 1.5}
    assert manifest.versions["python"].startswith("3.")
    assert sorted(path.name for path in folder.path("fit").iterdir()) == ["manifest.json", "x.txt"]


def test_settings_compare_after_a_round_trip_through_json() -> None:
    with_tuples = replace(CAUSE, settings={"neural": {"widths": (8, 8), "file": Path("a")}})
    assert with_tuples == replace(CAUSE, settings={"neural": {"widths": [8, 8], "file": "a"}})


def test_changes_are_named() -> None:
    now = Cause("fit", 2, {"fit": {"photo": {"steps": 800}, "extra": None}}, {"clip": "bb"})
    assert explain_changes(CAUSE, now) == [
        "stage revision: 1 -> 2",
        "fit.extra: (not set) -> None",
        "fit.photo.steps: 400 -> 800",
        "input clip: other content",
    ]
    assert explain_changes(CAUSE, CAUSE) == []


def test_damaged_manifest_is_said(actor_root: Path) -> None:
    folder = ActorFolder(actor_root)
    make(folder, "one")
    for content in ("{", "[]", "{}"):
        (folder.path("fit") / "manifest.json").write_text(content)
        with pytest.raises(StaleArtefactError, match="damaged"):
            read_manifest(folder.path("fit"))


def test_partial_is_kept_under_the_same_cause_only(actor_root: Path) -> None:
    folder = ActorFolder(actor_root)
    (folder.begin(CAUSE, resume=True) / "checkpoint").write_text("step 7")
    assert (folder.begin(CAUSE, resume=True) / "checkpoint").read_text() == "step 7"
    other = replace(CAUSE, revision=2)
    assert not (folder.begin(other, resume=True) / "checkpoint").exists()
    (folder.begin(other, resume=True) / "checkpoint").write_text("step 9")
    assert not (folder.begin(other, resume=False) / "checkpoint").exists()


def test_killed_renames_are_completed(actor_root: Path) -> None:
    folder = ActorFolder(actor_root)
    whole, partial = folder.path("fit"), actor_root / "fit.partial"
    old = actor_root / "fit.old"
    make(folder, "one")
    whole.rename(old)  # killed after the old one had stepped aside, the new one unfinished
    folder.settle("fit")
    assert (whole / "x.txt").read_text() == "one"
    assert not old.exists()

    make(ActorFolder(actor_root / "elsewhere"), "two")
    (actor_root / "elsewhere" / "fit").rename(partial)  # killed before the rename of a whole one
    folder.settle("fit")
    assert (whole / "x.txt").read_text() == "two"
    assert not old.exists()
    assert not partial.exists()


def test_require_names_the_remedy(actor_root: Path) -> None:
    with pytest.raises(MissingAssetError, match="metatalk train CLIP"):
        ActorFolder(actor_root).require("fit")
    make(ActorFolder(actor_root), "one")
    assert ActorFolder(actor_root).require("fit") == actor_root / "fit"


def test_second_process_is_refused_and_a_kill_frees_the_lock(actor_root: Path) -> None:
    holder = hold(actor_root, "alone")
    with pytest.raises(BusyActorError, match=str(holder.pid)), ActorFolder(actor_root).lock():
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with ActorFolder(actor_root).lock():
        pass


def test_readers_share_the_lock(actor_root: Path) -> None:
    holder = hold(actor_root, "shared")
    with ActorFolder(actor_root).lock(shared=True):
        pass
    with pytest.raises(BusyActorError), ActorFolder(actor_root).lock():
        pass
    holder.kill()
    holder.communicate()


def test_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for root in (tmp_path / "file", tmp_path / "file" / "jane"):
        with pytest.raises(MetatalkError, match="--actor"), ActorFolder(root).lock():
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folder_without_permission_is_the_users_to_mend(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MetatalkError, match="right to write"), ActorFolder(tmp_path / "a").lock():
        pass


def test_only_the_present_footage_is_listed(actor_root: Path) -> None:
    record_entries(actor_root, [Entry("footage", f"{name}.mp4", "x", name) for name in "ab"])
    record_entries(actor_root, [Entry("face model", "anny", "CC0")])
    record_footage(actor_root, Entry("footage", "a.mp4", "granted", "c"))
    listed = [(entry.kind, entry.digest) for entry in read_ledger(actor_root)]
    assert listed == [("footage", "c"), ("face model", "")]


def test_ledger_replaces_by_kind_and_name(actor_root: Path) -> None:
    assert read_ledger(actor_root) == []
    record_entries(actor_root, [Entry("footage", "a.mp4", "not on record")])
    record_entries(actor_root, [Entry("face model", "anny", "CC0")])
    record_entries(actor_root, [Entry("footage", "a.mp4", "granted")])
    assert [entry.terms for entry in read_ledger(actor_root)] == ["granted", "CC0"]
