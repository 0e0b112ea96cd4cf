"""`metatalk face-model`: which face models there are, bringing one in, looking at one."""

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
from metatalk.cli.options import Json, Verbose

models = typer.Typer(help="Face models: what is found, bringing one in, looking at one.")
app.add_typer(models, name="face-model")


@models.command("list")
@terminal.answering_errors
def list_models(verbose: Verbose = 0, as_json: Json = False) -> None:
    """Show every face model: found or not, its terms, its sizes, where its files come from."""
    terminal.set_up_logging(verbose)
    from metatalk.landmarks.config import LandmarksConfig
    from metatalk.stages.face_model import list_face_models
    from metatalk.stages.model_sources import how_to_bring

    found = list_face_models(LandmarksConfig())
    if as_json:
        terminal.show_json([asdict(model) for model in found])
        return
    table = Table(box=None, header_style="bold")
    for title in ("face model", "found", "sizes", "terms"):
        table.add_column(title, overflow="fold")
    for model in found:
        where = f"[green]yes[/] {escape(model.where)}" if model.found else "no"
        wrong = f" ({escape(model.where)})" if model.where else ""
        told = where if model.found else f"no{wrong}; from {escape(model.origin)}"
        table.add_row(model.name, told, escape(model.sizes), escape(model.terms))
    console = Console()
    console.print(table)
    console.print()
    for line in how_to_bring():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@models.command("import")
@terminal.answering_errors
def import_model(
    path: Annotated[
        Path,
        typer.Argument(help="A face model's file, or the folder of its files.", metavar="PATH"),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            help="What fit.face_model is to call it; else its usual name.", metavar="NAME"
        ),
    ] = None,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Convert a face model that you have into your own cache, checked and ready to fit with."""
    terminal.set_up_logging(verbose)
    from metatalk.landmarks.config import LandmarksConfig
    from metatalk.stages.face_model import import_face_model

    with terminal.stdout_kept_clean(as_json):
        imported = import_face_model(path, name, LandmarksConfig())
    if as_json:
        terminal.show_json(asdict(imported))
        return
    console = Console()
    console.print(f"{imported.name}: {imported.sizes}; {imported.where}", markup=False)
    console.print(f"its terms stay yours to keep: {imported.terms}", markup=False)
    console.print(f"use it: fit.face_model={imported.name}", markup=False)


@models.command("show")
@terminal.answering_errors
def show_model(
    name: Annotated[str, typer.Argument(help="As fit.face_model names it.", metavar="NAME")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The picture to write: .png", metavar="OUT")
    ],
    units: Annotated[int, typer.Option(help="How many expressions to show.", min=0)] = 52,
    people: Annotated[int, typer.Option(help="How many identity and albedo modes.", min=0)] = 8,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Draw a face model: a turntable, its regions and landmarks, its expressions, other people."""
    terminal.set_up_logging(verbose)
    from metatalk.landmarks.config import LandmarksConfig
    from metatalk.stages.model_sheet import write_model_sheet

    with terminal.stdout_kept_clean(as_json):
        shown = write_model_sheet(name, output, LandmarksConfig(), units, people)
    terminal.show_values(shown, as_json)
