"""`metatalk export`: coefficients, or the trained renderer, for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import Json, Safe, Verbose, require_files
from metatalk.errors import ConfigError, MissingAssetError

MESHES = ("obj", "glb")
RENDERER = "renderer"  # the word before DIR that asks for the network


@app.command()
@terminal.answering_errors
def export(
    places: Annotated[
        list[Path],
        typer.Argument(
            help="An actor's folder, or any with a fit in it; after the word renderer: an "
            "actor's, whose trained network leaves as .onnx.",
            metavar="[renderer] DIR",
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write: .csv, .json, .glb, .obj (a sequence) or .mat (Deep3D); "
            "of the renderer .onnx.",
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
    int8: Annotated[
        bool, typer.Option("--int8", help="The renderer in eight bits: faster, less exact.")
    ] = False,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Write what was fitted or trained in DIR for other programs: curves, meshes, the renderer."""
    terminal.set_up_logging(verbose)
    fit, of_renderer = _tell_apart(places)
    if not fit.exists():
        raise MissingAssetError(f"{fit}: no such folder", "give an actor's folder")
    _refuse_restricted(fit, of_renderer, target, safe)
    if of_renderer:
        _refuse_idle({"--as": kind, "--fps": fps, "--from": edited, "--head": head,
                      "--target": target})  # fmt: skip
        _export_renderer(fit, output, int8, as_json)
        return
    if int8:
        raise ConfigError("--int8 is about the renderer", "metatalk export renderer DIR --int8")
    require_files(*(path for path in (edited, target) if path))
    with terminal.stdout_kept_clean(as_json):
        from metatalk.interchange.take import parse_rate
        from metatalk.stages.export import ExportRequest, choose_kind, export_fit

        if head is not None and choose_kind(output, kind) not in MESHES:
            raise ConfigError("--head is about meshes", "leave it out, or write .glb or .obj")
        rate = parse_rate(fps) if fps is not None else None
        request = ExportRequest(kind, rate, target, edited, moving=head != "still")
        metrics = export_fit(fit, output, request, terminal.bars())
    terminal.show_values(metrics, as_json)


def _refuse_restricted(place: Path, of_renderer: bool, target: Path | None, safe: bool) -> None:
    """Refuse what is restricted, where that is asked for, now or when the actor was made."""
    if not (safe or _keeps_safe(place)):
        return
    from metatalk.stages.export import find_root
    from metatalk.stages.ingredients import require_safe_actor

    require_safe_actor(place if of_renderer else find_root(place), [target])


def _keeps_safe(place: Path) -> bool:
    """Whether `commercial_safe` is among the settings that an actor was made with."""
    for folder in (place, place.parent, place.parent.parent):
        try:
            made = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return isinstance(made, dict) and made.get("commercial_safe") is True
    return False


def _tell_apart(places: list[Path]) -> tuple[Path, bool]:
    """The folder, and whether it is its renderer that is to leave; a lone word is a folder."""
    if len(places) == 2 and str(places[0]) == RENDERER:
        return places[1], True
    if len(places) > 1:
        raise ConfigError(
            f"export takes one folder, not {len(places)}",
            "metatalk export DIR -o OUT, or metatalk export renderer DIR -o OUT.onnx",
        )
    return places[0], False


def _refuse_idle(options: Mapping[str, object]) -> None:
    """Refuse what only matters to curves and meshes, and would be passed over in silence."""
    idle = [name for name, value in options.items() if value is not None]
    if idle:
        raise ConfigError(f"{', '.join(idle)}: not for the renderer", "leave it out")


def _export_renderer(actor: Path, output: Path, int8: bool, as_json: bool) -> None:
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.export_renderer import export_renderer

        metrics = export_renderer(actor, output, int8)
    terminal.show_values(metrics, as_json)
