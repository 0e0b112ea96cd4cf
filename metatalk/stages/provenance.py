"""What stands beside a result: that it is synthetic, what it is made of, and on which terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from metatalk import __version__
from metatalk.a2e.hearing import Ears
from metatalk.a2e.prior import PriorRecord
from metatalk.workspace.consent import footage_entry, is_consented
from metatalk.workspace.digest import digest_file
from metatalk.workspace.footage import is_footage
from metatalk.workspace.ledger import Entry, read_ledger
from metatalk.workspace.manifest import write_json
from metatalk.workspace.output import named_path

MARK: dict[str, Any] = {"synthetic": True, "made_with": f"metatalk {__version__}"}


def result_entries(root: Path, clip: Path | None) -> list[Entry]:
    """List what a result of an actor is made of.

    Args:
        root: the actor folder.
        clip: the footage that is shown or measured; None: the actor's own.

    Returns:
        The actor's entries, and one for another clip whose consent is not on record.
    """
    entries = read_ledger(root)
    if clip is None:
        return entries
    digest = digest_file(clip)
    if not is_consented(entries, digest) and not is_footage(root, clip):
        entries.append(footage_entry(clip, digest, None, date.today()))
    return entries


def own_entry(kind: str, path: Path) -> Entry:
    """The entry of a file that the user gave for this result alone: speech, curves."""
    return Entry(kind, path.name, "the user's own", digest_file(path))


HEARD_KINDS = frozenset({"speech encoder", "prior", "prior's footage"})


def encoder_entries(ears: Ears) -> list[Entry]:
    """The entry of the encoder of speech that an actor was learned with, if there was one."""
    if ears.encoder is None:
        return []
    return [Entry("speech encoder", ears.encoder, ears.terms or "", ears.digest or "")]


def prior_entries(path: Path, record: PriorRecord) -> list[Entry]:
    """The entries of a prior that an actor was begun with: the file, and whose faces taught it.

    Args:
        path: the prior's file.
        record: what it is made of.
    """
    people = f"learned from {len(record.clips)} clips; encoder: {record.encoder_terms}"
    return [
        Entry("prior", path.name, people, digest_file(path)),
        *(Entry("prior's footage", *clip) for clip in record.clips),
    ]


def write_result_ledger(output: Path, entries: Iterable[Entry]) -> None:
    """Write `OUTPUT.ledger.json` beside a result.

    Args:
        output: the result.
        entries: what it is made of.
    """
    output = named_path(output)
    ledger = output.with_name(output.name + ".ledger.json")
    write_json(ledger, {**MARK, "entries": [asdict(entry) for entry in entries]})
