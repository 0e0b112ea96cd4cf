"""What an actor is made of, and on which terms: footage, face model, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from metatalk.errors import TermsError
from metatalk.workspace.manifest import write_json

Commercial = Literal["yes", "no", "unknown"]
ANSWERS: tuple[str, ...] = get_args(Commercial)
FOOTAGE = "footage"
NETWORK = "network"  # marks the ledger of trained weights, which show no face


@dataclass(frozen=True)
class Entry:
    """One thing that went into an actor."""

    kind: str  # "footage", "face model", "checkpoint", "speech"
    name: str
    terms: str  # licence, or whose consent
    digest: str = ""  # of its content, where it is a file
    commercial: Commercial = "unknown"  # whether the terms are known to allow commercial use


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


def replace_entries(root: Path, entries: Iterable[Entry], kept: frozenset[str]) -> None:
    """Note what an actor is made of now: what it was made of before is forgotten.

    Args:
        root: the actor folder; it is made if need be.
        entries: all that its artefacts are made of.
        kept: kinds whose entries of before stay, before the others.
    """
    before = [entry for entry in read_ledger(root) if entry.kind in kept]
    _write_ledger(root, dict.fromkeys((*before, *entries)))


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

    Raises:
        TermsError: there is a ledger, and it cannot be understood.
    """
    path = root / "ledger.json"
    return read_entries(path) if path.is_file() else []


def read_entries(path: Path) -> list[Entry]:
    """Read a ledger's file.

    Args:
        path: an actor's `ledger.json`, or the `.ledger.json` beside a result.

    Returns:
        The entries. What does not say whether it may be used commercially, as in ledgers of
        earlier versions, is "unknown".

    Raises:
        TermsError: it is no ledger.
    """
    return _read(path)[0]


def read_network_entries(path: Path) -> list[Entry] | None:
    """Read a ledger's file where it is that of trained weights.

    Args:
        path: the `.ledger.json` beside a result or weights.

    Returns:
        The entries; None where it is another ledger.

    Raises:
        TermsError: it is no ledger.
    """
    entries, of_network = _read(path)
    return entries if of_network else None


def least_commercial(entries: Iterable[Entry]) -> Commercial:
    """Sum up: "no" if any entry is, else "unknown" if any is; of nothing nothing is known.

    >>> least_commercial([Entry("a", "b", "MIT", commercial="yes"), Entry("c", "d", "?")])
    'unknown'
    """
    found = {entry.commercial for entry in entries}
    if "no" in found:
        return "no"
    return "yes" if found == {"yes"} else "unknown"


def _read(path: Path) -> tuple[list[Entry], bool]:
    """The entries, and whether they are those of trained weights."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["entries"] if isinstance(content, dict) else content
        entries = [_to_entry(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TermsError(
            f"{path}: is no ledger that can be read ({error})",
            "train the actor, or make the result, again: its ledger is then written anew",
        ) from error
    return entries, isinstance(content, dict) and content.get(NETWORK) is True


def _to_entry(row: Mapping[str, Any]) -> Entry:
    stated = row.get("commercial")
    commercial: Commercial = stated if stated in ANSWERS else "unknown"
    kind, name, terms = (str(row[key]) for key in ("kind", "name", "terms"))
    return Entry(kind, name, terms, str(row.get("digest", "")), commercial)


def _write_ledger(root: Path, entries: Iterable[Entry]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "ledger.json", [asdict(entry) for entry in entries])
