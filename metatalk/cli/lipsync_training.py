"""`metatalk lipsync train-expert` and `train-generator`: networks out of a prepared corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metatalk.cli import terminal
from metatalk.cli.lipsync import lipsync
from metatalk.cli.options import (
    ConfigFile,
    Json,
    Preset,
    Safe,
    Verbose,
    Words,
    require_files,
    settings,
    with_safe,
)

Corpus = Annotated[
    Path, typer.Argument(help="A folder that `lipsync prepare` wrote.", metavar="CORPUS")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="The weights to write.", metavar="OUT.safetensors")
]
Start = Annotated[
    Path | None,
    typer.Option(help="Weights to go on from, official or ours.", metavar="FILE"),
]


@lipsync.command("train-expert")
@terminal.answering_errors
def train_expert(
    corpus: Corpus,
    words: Words = None,
    *,
    output: Output,
    start: Start = None,
    preset: Preset = None,
    config: ConfigFile = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Train the lip-sync expert. Run again to go on where it was."""
    terminal.set_up_logging(verbose)
    require_files(*([start] if start else []))
    chosen = settings(preset, config, with_safe(words, safe), output.parent)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.lipsync_training import train_expert as train

        metrics = train(corpus, output, chosen, start, terminal.bars())
    terminal.show_values(metrics, as_json)


@lipsync.command("train-generator")
@terminal.answering_errors
def train_generator(
    corpus: Corpus,
    words: Words = None,
    *,
    expert: Annotated[
        Path, typer.Option(help="The lip-sync expert, official or ours.", metavar="FILE")
    ],
    output: Output,
    start: Start = None,
    critic: Annotated[
        Path | None,
        typer.Option(help="A quality discriminator to go on from.", metavar="FILE"),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Train Wav2Lip's generator under an expert. Run again to go on where it was."""
    terminal.set_up_logging(verbose)
    require_files(expert, *(path for path in (start, critic) if path))
    chosen = settings(preset, config, with_safe(words, safe), output.parent)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.lipsync_training import train_generator as train

        metrics = train(corpus, expert, output, chosen, start, critic, terminal.bars())
    terminal.show_values(metrics, as_json)
