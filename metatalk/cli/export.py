"""`metatalk export`: coefficients for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import Json, Verbose, require_files
from metatalk.errors import ConfigError, MissingAssetError

MESHES = ("obj", "glb")


@app.command()
@terminal.answering_errors
def export(
    fit: Annotated[
        Path, typer.Argument(help="An actor's folder, or any with a fit in it.", metavar="DIR")
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write: .csv, .json, .glb, .obj (a sequence) or .mat (Deep3D).",
            metavar="OUT",
        ),
    ],
    kind: Annotated[
        Literal["csv", "json", "arkit", "obj", "glb", "deep3d"] | None,
        typer.Option("--as", help="The form, where the name does not tell: arkit is a .csv, too."),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(help="Frames a second, such as 29.97; else the footage's.", metavar="RATE"),
    ] = None,
    edited: Annotated[
        Path | None,
        typer.Option("--from", help="Edited curves to put over the fit.", metavar="FILE"),
    ] = None,
    head: Annotated[
        Literal["moving", "still"] | None,
        typer.Option(help="Meshes move as the head did (default), or stay at the origin."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="Another clip of the actor, driven before.", metavar="CLIP"),
    ] = None,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Write what was fitted in DIR for other programs: curves, meshes, one animated GLB."""
    terminal.set_up_logging(verbose)
    require_files(*(path for path in (edited, target) if path))
    if not fit.exists():
        raise MissingAssetError(f"{fit}: no such folder", "give an actor's folder")
    with terminal.stdout_kept_clean(as_json):
        from metatalk.interchange.take import parse_rate
        from metatalk.stages.export import ExportRequest, choose_kind, export_fit

        if head is not None and choose_kind(output, kind) not in MESHES:
            raise ConfigError("--head is about meshes", "leave it out, or write .glb or .obj")
        rate = parse_rate(fps) if fps is not None else None
        request = ExportRequest(kind, rate, target, edited, moving=head != "still")
        metrics = export_fit(fit, output, request, terminal.bars())
    terminal.show_values(metrics, as_json)
