"""What stands beside a result or trained weights: what they are made of, and on which terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from metatalk import __version__
from metatalk.a2e.encoder_config import BUILTIN
from metatalk.a2e.hearing import Ears
from metatalk.a2e.prior import PriorRecord
from metatalk.stages import terms
from metatalk.stages.terms import HEARD_KINDS as HEARD_KINDS
from metatalk.stages.terms import OWN
from metatalk.workspace.consent import footage_entry, is_consented
from metatalk.workspace.digest import digest_file
from metatalk.workspace.footage import is_footage
from metatalk.workspace.ledger import NETWORK, Entry, least_commercial, read_ledger
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
    return Entry(kind, path.name, OWN, digest_file(path), "yes")


def streamed_entry(source: str) -> Entry:
    """The entry of speech that comes while it is spoken."""
    return Entry("speech", f"live: {source}", OWN, "", "yes")


def encoder_entries(ears: Ears, source: str = BUILTIN) -> list[Entry]:
    """The entry of the encoder of speech that an actor was learned with, if there was one.

    Args:
        ears: what listened.
        source: where the encoder came from, as `a2e.encoder.source` names it.
    """
    if ears.encoder is None:
        return []
    words, commercial = terms.encoder_commercial(source, ears.terms or "")
    return [Entry(terms.ENCODER, ears.encoder, words, ears.digest or "", commercial)]


def prior_entries(path: Path, record: PriorRecord) -> list[Entry]:
    """The entries of a prior that an actor was begun with: the file, and whose faces taught it.

    Args:
        path: the prior's file.
        record: what it is made of.
    """
    return terms.prior_entries(path, record.clips, record.encoder_terms, digest_file(path))


def write_result_ledger(output: Path, entries: Iterable[Entry]) -> None:
    """Write `OUTPUT.ledger.json` beside a result.

    Args:
        output: the result.
        entries: what it is made of.
    """
    _write_beside(output, MARK, entries)


def write_network_ledger(output: Path, entries: Iterable[Entry]) -> None:
    """Write `OUTPUT.ledger.json` beside trained weights, which show nobody: nothing is synthetic.

    Args:
        output: the weights.
        entries: all they were trained on.
    """
    _write_beside(output, {NETWORK: True, "made_with": MARK["made_with"]}, entries)


def _write_beside(output: Path, mark: Mapping[str, Any], entries: Iterable[Entry]) -> None:
    output = named_path(output)
    ledger = output.with_name(output.name + ".ledger.json")
    listed = list(dict.fromkeys(entries))
    summed = {**mark, "commercial": least_commercial(listed)}
    write_json(ledger, {**summed, "entries": [asdict(entry) for entry in listed]})
