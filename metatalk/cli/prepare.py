"""`metatalk lipsync prepare`: talking clips made ready for lip-sync training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metatalk.cli import terminal
from metatalk.cli.lipsync import lipsync
from metatalk.cli.options import Json, Verbose, is_setting
from metatalk.config import load_config
from metatalk.errors import MissingAssetError

if TYPE_CHECKING:
    from metatalk.stages.lipsync_prepare import Outcome


@lipsync.command("prepare")
@terminal.answering_errors
def prepare_command(
    clips: Annotated[
        list[str],
        typer.Argument(
            help="Folders of talking clips, looked through to any depth, or clips; then settings "
            "such as landmarks.min_confidence=0.5.",
            metavar="FOLDER|CLIP... [KEY=VALUE]...",
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The corpus to make.", metavar="CORPUS")
    ],
    workers: Annotated[
        int | None,
        typer.Option(help="Clips at a time; else as many as there are cores.", metavar="N", min=1),
    ] = None,
    terms: Annotated[
        str | None,
        typer.Option(
            help="Under which the clips may be used, where nothing that lies by them says so."
        ),
    ] = None,
    min_seconds: Annotated[
        float, typer.Option(help="Shorter stretches of speech are left out.", min=0.2)
    ] = 1.0,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Cut faces and sound out of talking clips. Run again to go on; what is done is kept."""
    terminal.set_up_logging(verbose)
    words = [word for word in clips if is_setting(word)]
    paths = [Path(word) for word in clips if word not in words]
    if not paths:
        raise MissingAssetError("there is nothing to prepare", "name a folder of talking clips")
    config = load_config(words=words)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.lipsync_prepare import prepare_corpus
        from metatalk.stages.lipsync_tracks import Preparation

        outcome = prepare_corpus(
            paths,
            output,
            Preparation(config.landmarks, min_seconds),
            terminal.bars(),
            workers=workers,
            terms=terms,
            commercial_safe=config.commercial_safe,
        )
    if as_json:
        terminal.show_json(outcome.metrics())
    else:
        typer.echo(_in_words(outcome))


def _in_words(outcome: Outcome) -> str:
    """What was done, and each clip that was left out with its reason."""
    figures = outcome.metrics()
    parts = [f"{figures['clips']} clips", f"{figures['prepared']} prepared"]
    parts += [f"{outcome.copies} copies of others"] if outcome.copies else []
    left_out = outcome.left_out
    head = ", ".join([*parts, f"{len(left_out)} left out" + (":" if left_out else "")])
    lines = [f"  {source.name}: {source.error}" for source in left_out]
    speed = f", {outcome.frames} frames in {outcome.seconds:.0f} s" if outcome.frames else ""
    ready = f"{figures['tracks']} tracks, {figures['minutes']:.1f} minutes{speed}"
    return "\n".join([head, *lines, ready])
