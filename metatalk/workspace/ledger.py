"""What an actor is made of, and on which terms: footage, face model, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from metatalk.workspace.manifest import write_json


@dataclass(frozen=True)
class Entry:
    """One thing that went into an actor."""

    kind: str  # "footage", "face model", "checkpoint", "speech"
    name: str
    terms: str  # licence, or whose consent
    digest: str = ""  # of its content, where it is a file


def record_entries(root: Path, entries: Iterable[Entry]) -> None:
    """Add entries to the actor's `ledger.json`; one of the same kind and name is replaced.

    Args:
        root: the actor folder; it is made if need be.
        entries: what to record.
    """
    merged = {(entry.kind, entry.name): entry for entry in (*read_ledger(root), *entries)}
    _write_ledger(root, merged.values())


def drop_entries(root: Path, kinds: frozenset[str]) -> None:
    """Forget entries of kinds that were used before and are not any more.

    Args:
        root: the actor folder.
        kinds: of the entries.
    """
    entries = read_ledger(root)
    kept = [entry for entry in entries if entry.kind not in kinds]
    if len(kept) < len(entries):
        _write_ledger(root, kept)


def record_footage(root: Path, footage: Entry) -> None:
    """Note what the actor is learned from now, in place of any footage of before.

    Args:
        root: the actor folder; it is made if need be.
        footage: the entry of the training clip, of kind "footage".
    """
    others = [entry for entry in read_ledger(root) if entry.kind != footage.kind]
    _write_ledger(root, [footage, *others])


def read_ledger(root: Path) -> list[Entry]:
    """Read what an actor is made of.

    Args:
        root: the actor folder.

    Returns:
        The entries, oldest first; none where nothing is recorded.
    """
    path = root / "ledger.json"
    if not path.is_file():
        return []
    return [Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _write_ledger(root: Path, entries: Iterable[Entry]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "ledger.json", [asdict(entry) for entry in entries])
