"""`metatalk sync`: how well lips and sound of a clip fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import (
    Clip,
    ConfigFile,
    Face,
    Json,
    Preset,
    Safe,
    Verbose,
    Words,
    require_files,
    settings,
    with_face,
    with_safe,
)
from metatalk.errors import MediaError
from metatalk.workspace.output import require_output


@app.command()
@terminal.answering_errors
def sync(
    clip: Clip,
    words: Words = None,
    *,
    judge: Annotated[
        Path | None,
        typer.Option(
            help="Who judges: syncnet_v2.model, lipsync_expert.pth or weights trained here.",
            metavar="FILE",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw it; else beside the clip, and with --json nowhere.",
            metavar="FILE.png",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Also judge the clip tampered with, to see what that says."),
    ] = False,
    face: Face = None,
    preset: Preset = None,
    config: ConfigFile = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Judge how well lips and sound of CLIP fit: offset, distance, confidence."""
    terminal.set_up_logging(verbose)
    require_files(clip)
    chosen = settings(preset, config, with_safe(with_face(words, face), safe), clip.parent)
    section = chosen.sync
    if judge is not None:
        section = replace(section, judge=str(judge))
    if chosen.commercial_safe and section.judge:
        from metatalk.stages.ingredients import judging_ingredients
        from metatalk.stages.terms import require_commercial

        named = Path(section.judge).expanduser()
        require_commercial(judging_ingredients(named, chosen.landmarks.detector))
    drawn = plot or (None if as_json else _beside(clip))
    if drawn is not None:
        if drawn.suffix.lower() != ".png":
            raise MediaError(f"{drawn}: the plot is a PNG", "give --plot a name that ends in .png")
        require_output(drawn, [clip])
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.sync import judge_clip

        report = judge_clip(
            clip, section, chosen.landmarks, chosen.device, check, drawn, terminal.bars()
        )
    document = {**report.document(), "plot": str(drawn) if drawn else None}
    if as_json:
        terminal.show_json(document)
    else:
        _show(document, report.judge.distance_name, report.judge.confidence_name)


def _beside(clip: Path) -> Path:
    """Beside the clip, or in the working folder where nothing may be written there."""
    folder = clip.parent if os.access(clip.parent, os.W_OK) else Path()
    return folder / f"{clip.stem}.sync.png"


def _show(document: Mapping[str, Any], distance: str, confidence: str) -> None:
    """Print a verdict, its parts where there are several, and what was left out."""
    facts = {name: document[name] for name in ("judge", "terms", "plot")}
    if document["trusted"] is False:
        terminal.show_values({"no verdict": document["trust"], **facts}, as_json=False)
    else:
        verdict = {
            "offset": f"{document['offset_frames']:+d} frames, {document['offset_ms']:+d} ms "
            f"({document['offset']})",
            **{name: document[name] for name in (distance, confidence, "windows", "trust")},
        }
        terminal.show_values({**verdict, **facts}, as_json=False)
    figures = ("offset_ms", distance, confidence)
    if len(document["runs"]) > 1:
        rows = [[f"{run['start_s']:.2f}", f"{run['end_s']:.2f}", run] for run in document["runs"]]
        _show_table(("from s", "to s"), figures, rows)
    # Of a verdict that is withheld those who asked for the versions see what speaks against it.
    if versions := document.get("untrusted", document)["versions"]:
        rows = [[name, version] for name, version in versions.items()]
        _show_table(("version",), (*figures, "at_real_offset"), rows)
    for reason in dict.fromkeys(stretch["reason"] for stretch in document["left_out"]):
        kind = [each for each in document["left_out"] if each["reason"] == reason]
        seconds = sum(each["end_s"] - each["start_s"] for each in kind)
        what = f"not judged: {seconds:.1f} s in {len(kind)} stretches ({reason})"
        Console().print(what, markup=False)


def _show_table(heads: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(*heads, *names, box=None, header_style="bold")
    for *first, values in rows:
        table.add_row(*first, *(f"{values[name]:.4g}" for name in names))
    Console().print(table)
