"""`metatalk wav2lip`: anybody's film says a recording, without learning anything first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import (
    ConfigFile,
    ConsentFile,
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
from metatalk.workspace.consent import read_consent


@app.command()
@terminal.answering_errors
def wav2lip(
    film: Annotated[Path, typer.Argument(help="A film, or a picture to hold.", metavar="FACE")],
    audio: Annotated[Path, typer.Argument(help="What to say.", metavar="AUDIO")],
    words: Words = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The video to write.", metavar="OUT.mp4")
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A Wav2Lip generator, official or one of ours.", metavar="FILE"),
    ] = None,
    length: Annotated[
        Literal["audio", "video"] | None, typer.Option(help="Which one ends the result.")
    ] = None,
    consent: ConsentFile = None,
    preset: Preset = None,
    config: ConfigFile = None,
    face: Face = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Make the face in FACE say AUDIO with a Wav2Lip generator; no actor is learned."""
    terminal.set_up_logging(verbose)
    require_files(film, audio)
    more = [f"drive.length={length}"] if length else []
    chosen = settings(
        preset, config, [*with_safe(with_face(words, face), safe), *more], output.parent
    )
    section = chosen.wav2lip
    if checkpoint is not None:
        section = replace(section, checkpoint=str(checkpoint))
    granted = read_consent(consent) if consent else None
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.wav2lip import redraw_video

        metrics = redraw_video(film, audio, output, chosen, section, granted, terminal.bars())
    terminal.show_values(metrics, as_json)
