"""`metatalk ledger`: what an actor, a result or weights are made of, and under which terms."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import Json
from metatalk.errors import MissingAssetError
from metatalk.workspace.ledger import Entry, least_commercial, read_entries, read_network_entries

SAFE = "commercially safe"
DIGITS = 12  # of a digest that are shown; --json has them all
_COLOURS = {"yes": "green", "no": "red", "unknown": "yellow"}


@app.command()
@terminal.answering_errors
def ledger(
    place: Annotated[
        Path,
        typer.Argument(
            help="An actor's folder, a result, trained weights, or a .ledger.json.",
            metavar="DIR|FILE",
        ),
    ],
    *,
    as_json: Json = False,
) -> None:
    """Show what an actor, a result or weights are made of, and if commercial use is allowed."""
    entries = _find_entries(place)
    if as_json:
        summed = {"place": str(place), "commercial": least_commercial(entries)}
        terminal.show_json({**summed, "entries": [asdict(entry) for entry in entries]})
        return
    _show(entries)
    typer.echo(_verdict(entries))


def _find_entries(place: Path) -> list[Entry]:
    from metatalk.stages.ingredients import actor_entries

    beside = place.with_name(f"{place.name}.ledger.json")
    if beside.is_file():
        return _told(beside, place.name)
    if place.is_dir():
        if not any((place / name).exists() for name in ("ledger.json", "config.json", "fit")):
            raise MissingAssetError(f"{place}: no actor and no result", "give an actor's folder")
        return actor_entries(place)
    if place.is_file() and place.suffix == ".json":
        return _told(place, place.name)
    if place.is_file():
        raise MissingAssetError(
            f"{place}: there is no {beside.name} beside it",
            "the ledger of a result or of weights lies beside it: copy it along, or make it again",
        )
    raise MissingAssetError(f"{place}: no such actor or result", "check the path")


def _told(path: Path, name: str) -> list[Entry]:
    """The entries of a file: every result shows a face, weights show none."""
    from metatalk.stages.ingredients import named_footage, named_training

    trained = read_network_entries(path)
    if trained is not None:
        return named_training(trained, name)
    return named_footage(read_entries(path), name)


def _show(entries: list[Entry]) -> None:
    table = Table(box=None, header_style="bold")
    for title in ("kind", "name", "terms", "commercial", "digest"):
        table.add_column(title, overflow="fold")
    for entry in entries:
        answer = f"[{_COLOURS[entry.commercial]}]{entry.commercial}[/]"
        words = (escape(part) for part in (entry.kind, entry.name, entry.terms))
        table.add_row(*words, answer, entry.digest[:DIGITS])
    Console().print(table)


def _verdict(entries: list[Entry]) -> str:
    named = [
        f"{entry.kind} {entry.name} ({entry.commercial})"
        for entry in entries
        if entry.commercial != "yes"
    ]
    if named or not entries:
        return f"not {SAFE}: " + ("; ".join(named) or "nothing is on record")
    return SAFE
