"""`metatalk fit`: the reconstructor alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app, learn_up_to
from metatalk.cli.options import (
    Clip,
    ConfigFile,
    ConsentFile,
    Face,
    Json,
    Preset,
    Rerun,
    Safe,
    Verbose,
    Words,
    require_files,
    settings,
    with_face,
    with_safe,
)

MOST_LINES = 20  # of doubts that are printed; the report has them all


@app.command()
@terminal.answering_errors
def fit(
    clip: Clip,
    words: Words = None,
    *,
    actor: Annotated[
        Path | None,
        typer.Option(
            "--actor", "-o", help="The folder to fill; else CLIP's name with .fit, here.",
            metavar="DIR", show_default=False,
        ),
    ] = None,
    overlay: Annotated[
        bool, typer.Option(help="Film the fitted face over the footage.")
    ] = True,
    panels: Annotated[
        bool, typer.Option(help="Film footage, shaded face and normals side by side.")
    ] = False,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    consent: ConsentFile = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Fit the face in CLIP, show the fit, and say which frames to distrust."""
    terminal.set_up_logging(verbose)
    require_files(clip)
    folder = actor or Path(f"{clip.stem}.fit")
    chosen = settings(preset, config, with_safe(with_face(words, face), safe), folder)
    metrics = learn_up_to(clip, folder, chosen, rerun, "fit", consent, as_json)
    if not as_json:
        terminal.show_stages(metrics, as_json)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.fit_report import ReportOrder, report_fit

        order = ReportOrder(overlay, panels)
        report = report_fit(folder, clip, chosen, order, terminal.bars())
    if as_json:
        terminal.show_json({**metrics, "report": report.document})
        return
    typer.echo(_doubts_in_words(report.doubts, report.document))
    typer.echo("written: " + ", ".join(str(path) for path in report.files))


def _doubts_in_words(doubts: tuple[tuple[str, str], ...], document: dict[str, object]) -> str:
    if not doubts:
        return f"none of the {document['frames']} frames gives reason to distrust it"
    lines = [f"{document['doubtful_frames']} of {document['frames']} frames to distrust:"]
    lines += [f"  {when}: {why}" for when, why in doubts[:MOST_LINES]]
    if len(doubts) > MOST_LINES:
        lines.append(f"  and {len(doubts) - MOST_LINES} more stretches, in fit_report.json")
    return "\n".join(lines)
