"""`metatalk live`: an actor says what is being spoken."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import (
    Amplitude,
    ConfigFile,
    Consonants,
    Face,
    Json,
    Preset,
    Rerun,
    Safe,
    Smoothing,
    Verbose,
    Words,
    drive_settings,
    mouth_options,
    names,
    require_files,
)
from metatalk.errors import MissingAssetError

STREAM = "-"


@app.command()
@terminal.answering_errors
def live(
    actor: Annotated[Path, typer.Argument(help="The actor's folder.", metavar="DIR")],
    source: Annotated[
        str,
        typer.Argument(
            help="What to say, as it is spoken: a pipe, an address, a file, or - for standard "
            "input; raw sound is 16 kHz, 16-bit little-endian, mono.",
            metavar="[SOURCE]",
        ),
    ] = STREAM,
    words: Words = None,
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="A .mkv, .ts or .mp4, a named pipe, an address, or - for standard output.",
            metavar="OUT",
        ),
    ],
    container: Annotated[
        Literal["mkv", "ts", "mp4"] | None,
        typer.Option("--format", help="The container; else by OUT's ending, mkv for pipes."),
    ] = None,
    late: Annotated[
        Literal["drop", "wait"] | None,
        typer.Option(help="Where pictures are made too slowly: leave some out, or fall behind."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option(help="Another clip of the actor to show.", metavar="CLIP")
    ] = None,
    amplitude: Amplitude = None,
    smoothing: Smoothing = None,
    consonants: Consonants = None,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Make the actor in DIR say what is being spoken, until it ends or Ctrl-C."""
    terminal.set_up_logging(verbose)
    if "=" in source and not Path(source).exists() and "://" not in source:
        source, words = STREAM, [source, *(words or [])]
    if source != STREAM and "://" not in source and not Path(source).exists():
        raise MissingAssetError(f"{source}: no such file or pipe", "check the path")
    if target is not None:
        require_files(target)
    options = {"drive.live.late": late, **mouth_options(amplitude, smoothing, consonants)}
    chosen = drive_settings(preset, config, words, face, safe, options, actor)
    if chosen.commercial_safe:
        from metatalk.stages.ingredients import require_safe_actor

        require_safe_actor(actor, [target])
    is_piped = output == STREAM
    with terminal.stdout_kept_clean(as_json or is_piped), stopped_by_signals() as stop:
        from metatalk.stages.live import drive_live
        from metatalk.stages.live_order import LiveOrder

        metrics = drive_live(
            order=LiveOrder(actor, source, output, target, container),
            config=chosen,
            stop=stop,
            rerun=names(rerun),
            progress_factory=terminal.bars(),
        )
    with contextlib.redirect_stdout(sys.stderr) if is_piped else contextlib.nullcontext():
        terminal.show_values(metrics, as_json)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Let the first Ctrl-C, or a request to terminate, end the work properly; the next ends it.

    Returns:
        Context with the event that is set by then. Outside the main thread, where signals cannot
        be caught, nobody sets it.
    """
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    caught = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = [signal.signal(number, ask_to_stop) for number in caught]
    try:
        yield stop
    finally:
        for number, handler in zip(caught, before, strict=True):
            signal.signal(number, handler)
