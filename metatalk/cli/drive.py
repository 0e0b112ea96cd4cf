"""`metatalk drive`: an actor says a recording, or does what is done in another clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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
    is_stream,
    mouth_options,
    names,
    recording_or_word,
    refuse_for_streams,
    require_files,
    require_something_to_say,
    require_words_of,
)
from metatalk.errors import ConfigError


def _option(panel: str, text: str, *flags: str, metavar: str | None = None) -> Any:
    return typer.Option(*flags, help=text, metavar=metavar, rich_help_panel=panel)


_ACTING, _FOOTAGE = "Another performance in place of AUDIO's words", "The footage behind it"
_PARTS, _DELIVERY = "Only a part", "Delivery"


@app.command()
@terminal.answering_errors
def drive(
    actor: Annotated[Path, typer.Argument(help="The actor's folder.", metavar="DIR")],
    audio: Annotated[
        Path | None,
        typer.Argument(
            help="What to say; with --expression-from, what is heard in place of CLIP's sound.",
            metavar="[AUDIO]",
            show_default=False,
        ),
    ] = None,
    words: Words = None,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The video to write, or a folder of stills.", metavar="OUT"
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Option(
            help="Another clip of the actor to re-voice; else the footage.", metavar="CLIP"
        ),
    ] = None,
    expression: Annotated[
        Path | None,
        typer.Option(
            help="Edited curves that move the mouth in place of AUDIO's words.", metavar="FILE"
        ),
    ] = None,
    phones: Annotated[
        Path | None,
        typer.Option(
            help="A TextGrid of AUDIO's phones: lips close when it says.", metavar="FILE.TextGrid"
        ),
    ] = None,
    transcript: Annotated[
        str | None,
        typer.Option(
            help="What AUDIO says, in English, or a file of it: lips close on time.",
            metavar="TEXT|FILE",
        ),
    ] = None,
    expression_from: Annotated[
        Path | None,
        _option(_ACTING, "A clip whose mouth the actor's follows.", metavar="CLIP"),
    ] = None,
    other_person: Annotated[
        bool,
        _option(_ACTING, "It shows somebody else: fit the actor's range to theirs.",
                "--other-person"),
    ] = False,
    performer_face: Annotated[
        int | None,
        typer.Option(
            help="Which face of it, where there are several.", metavar="N", min=0,
            rich_help_panel=_ACTING,
        ),
    ] = None,
    amplitude: Amplitude = None,
    smoothing: Smoothing = None,
    consonants: Consonants = None,
    retime: Annotated[
        Literal["off", "loop", "speech", "pose"] | None,
        _option(_FOOTAGE, "Which frame stands behind which: in order, to and fro (as usual), "
                "still in pauses, or whose own mouth fits."),
    ] = None,
    head_still: Annotated[
        float | None,
        _option(_FOOTAGE, "With --retime speech or pose: how much a still head in pauses counts.",
                metavar="WEIGHT"),
    ] = None,
    blinks: Annotated[
        Literal["keep", "replace", "remove"] | None,
        _option(_FOOTAGE, "Blinks as filmed, or where this recording pauses, or none."),
    ] = None,
    length: Annotated[
        Literal["audio", "video"] | None, _option(_FOOTAGE, "Which one ends the result.")
    ] = None,
    plot: Annotated[
        Path | None,
        _option(_FOOTAGE, "A picture of the path through the footage.", metavar="FILE.png"),
    ] = None,
    segments: Annotated[
        str | None,
        _option(_PARTS, "New mouths there only: 0:01:02.10-0:01:05,..., time codes, or .srt, "
                ".vtt, .ass.",
                metavar="TIMES|FILE.srt"),
    ] = None,
    changed_from: Annotated[
        Path | None,
        _option(_PARTS, "New mouths only where AUDIO sounds different from this recording.",
                metavar="ORIGINAL.wav"),
    ] = None,
    preview: Annotated[
        str | None, _option(_PARTS, "Three seconds from here on, to look at.", metavar="TIME")
    ] = None,
    form: Annotated[
        str | None,
        _option(_DELIVERY, "h264 (as usual), h265, prores422hq, prores4444, dnxhr_hq, dnxhr_hqx, "
                "dnxhr_444; png, tiff or exr for stills.", "--format", metavar="NAME"),
    ] = None,
    bits: Annotated[
        int | None,
        _option(_DELIVERY, "8 or 10, of h264 and h265; else as the footage.", metavar="N"),
    ] = None,
    patch: Annotated[
        Path | None,
        _option(_DELIVERY, "Write the new mouth alone, too, with alpha: a .mov, or a folder.",
                metavar="PATH"),
    ] = None,
    markers: Annotated[
        list[Path] | None,
        _option(_DELIVERY, "Mark the places to review: .otio, .fcpxml, .edl, .resolve.edl, .txt, "
                ".csv; may be repeated.", metavar="FILE"),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Make the actor in DIR say AUDIO (- or a pipe: live), or do what is done in another clip."""
    terminal.set_up_logging(verbose)
    audio, words = recording_or_word(audio, words)
    if is_stream(audio):
        from metatalk.cli.live import live

        refuse_for_streams(
            expression=expression, expression_from=expression_from, length=length, phones=phones,
            transcript=transcript, other_person=other_person or None,
            performer_face=performer_face, retime=retime, head_still=head_still, blinks=blinks,
            plot=plot, segments=segments, changed_from=changed_from, preview=preview,
            format=form, bits=bits, patch=patch, markers=markers or None,
        )  # fmt: skip
        live(
            actor, str(audio), words, output=str(output), target=target, amplitude=amplitude,
            smoothing=smoothing, consonants=consonants, preset=preset, config=config,
            rerun=rerun, face=face, safe=safe, verbose=verbose, as_json=as_json,
        )  # fmt: skip
        return
    require_something_to_say(audio, expression_from, other_person, performer_face)
    if face is not None and target is None:
        raise ConfigError(
            f"--face {face} says which face of --target is the actor's, and there is no --target",
            "leave it out: which face it is in the training clip was said when it was trained",
        )
    require_words_of(expression_from, phones, transcript)
    named = (audio, target, expression, expression_from, phones, changed_from)
    require_files(*(path for path in named if path))
    options = {
        "drive.length": length,
        "drive.retime": retime,
        "drive.retiming.still": head_still,
        "drive.eyes.blinks": blinks,
        **mouth_options(amplitude, smoothing, consonants),
        "drive.delivery.format": form,
        "drive.delivery.bits": bits,
    }
    chosen = drive_settings(preset, config, words, face, safe, options, actor)
    if head_still is not None and chosen.drive.retime not in ("speech", "pose"):
        raise ConfigError(
            "--head-still is a weight of --retime speech and pose", "add --retime speech"
        )
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.drive import drive_actor
        from metatalk.stages.drive_order import DriveOrder
        from metatalk.stages.performer import Performer
        from metatalk.stages.script import script_of

        performer = None
        if expression_from:
            performer = Performer(expression_from, other_person, performer_face)
        order = DriveOrder(
            actor=actor,
            output=output,
            audio=audio,
            target=target,
            expression=expression,
            performer=performer,
            script=script_of(phones, transcript),
            segments=segments,
            changed_from=changed_from,
            preview=preview,
            patch=patch,
            markers=tuple(markers or ()),
            plot=plot,
        )
        metrics = drive_actor(
            order=order, config=chosen, rerun=names(rerun), progress_factory=terminal.bars()
        )
    terminal.show_values(metrics, as_json)
