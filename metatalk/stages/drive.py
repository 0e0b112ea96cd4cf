"""Drive: an actor, a recording or another performance, and a clip become a video."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from metatalk.compose.ahead import WriteBehind, one_thread_each, read_ahead
from metatalk.compose.retiming.halfway import retimed_pictures
from metatalk.compose.revoice import Revoiced, revoice
from metatalk.config import Config
from metatalk.errors import MediaError
from metatalk.media.clip_sound import cut_sound
from metatalk.media.codecs import SEQUENCES, require_fitting
from metatalk.media.layer_writer import LayerWriter
from metatalk.media.ordered import read_pictures_in_order
from metatalk.render.bands import count_cores
from metatalk.stages.actor import require_trained
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_parts import check_parts, preview_frames, require_no_whole_result
from metatalk.stages.drive_preparation import Drive, prepare_drive
from metatalk.stages.drive_review import review_drive, tell_filmed, write_review
from metatalk.stages.ingredients import require_current_consents, require_safe_actor
from metatalk.stages.performer import performance_entry
from metatalk.stages.provenance import own_entry, result_entries, write_result_ledger
from metatalk.stages.result_video import ResultWriter, layer_format, open_layer, open_result
from metatalk.stages.retiming import plot_plan
from metatalk.stages.review import require_marker_names
from metatalk.stages.stage import STAGE_NAMES, Progress, ProgressFactory, silent_progress
from metatalk.stages.terms import (
    landmark_model_entry,
    phone_model_entries,
    speech_detector_entries,
)
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.footage import find_footage
from metatalk.workspace.ledger import Entry
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import (
    require_apart,
    require_output,
    require_output_folder,
)

WAITING = 6  # decoded and finished frames that may wait on either side of the networks
MOST_WORKERS = 4  # batches worked on at once; each holds a few frames in memory


def drive_actor(
    order: DriveOrder,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Make an actor say a recording, or do what is done in another clip.

    Args:
        order: what is asked.
        config: all settings.
        rerun: stages to compute again, of the target's and the performer's.
        progress_factory: who is told how far each stage is.

    Returns:
        Frames, seconds, frames a second, and how many frames kept the filmed mouth.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    folder, config = ActorFolder(order.actor), _settled(order, config)
    _require_places(order, config)
    require_current_consents(order.clips)
    if config.commercial_safe:
        require_safe_actor(order.actor, order.clips)
    require_trained(folder, frozenset({"train_a2e"}) if order.performer else frozenset())
    clip = order.target or find_footage(folder.root)
    check_parts(order, config, clip)
    _require_outputs(order, config, clip)
    with folder.lock(shared=True), tempfile.TemporaryDirectory() as scratch:
        drive = prepare_drive(order, config, Path(scratch), rerun, progress_factory)
        if order.plot is not None:
            with disk_errors_remedied(order.plot.parent):
                plot_plan(order.plot, drive.footage, drive.plan, drive.hearing, config.drive)
        drive = _cut_to_preview(drive, order, Path(scratch))
        # What can fail is done before the long work, and what it cost is kept.
        review = review_drive(drive) if order.markers else None
        entries, started = _entries(order, drive, config), time.monotonic()
        tell_filmed(drive)
        with disk_errors_remedied(order.output.parent):
            _write(drive, order, config, progress_factory)
            for path in (order.output, order.patch):
                if path is not None:
                    write_result_ledger(path, entries)
        if review is not None:
            write_review(order.markers, review, drive, order.output)
    return _metrics(order, drive, time.monotonic() - started)


def stream_drive(
    drive: Drive,
    writer: ResultWriter,
    layer: LayerWriter | None = None,
    progress: Progress = lambda *_: None,
) -> None:
    """Decode, revoice and encode side by side; memory holds a few frames of each.

    Args:
        drive: what is to be drawn.
        writer: of the result.
        layer: of the new mouth alone; None: it is not written.
        progress: told how far it is.

    Raises:
        MediaError: the clip cannot be read, or the disk refuses.
    """
    plan, footage = drive.plan, drive.footage
    read = partial(read_pictures_in_order, footage.clip, index=footage.index, native=True)

    def write(item: tuple[Revoiced, int]) -> None:
        frame, pts = item
        writer.write(frame.picture, pts)
        if layer is not None:
            laid = [(each.picture, each.alpha, each.left, each.top) for each in frame.patches]
            layer.write(laid, pts)

    workers = min(count_cores(), MOST_WORKERS)
    with one_thread_each(), WriteBehind[tuple[Revoiced, int]](write, WAITING) as behind:
        ahead = read_ahead(retimed_pictures(plan, read), WAITING)
        made = revoice(
            ahead, drive.performance, drive.studio, workers, drive.first, layer is not None
        )
        for done, (frame, pts) in enumerate(zip(made, plan.pts.tolist(), strict=True)):
            behind.put((frame, pts))
            progress(done + 1, len(plan))


def _metrics(order: DriveOrder, drive: Drive, seconds: float) -> Metrics:
    """What is told of a result that took so long to draw."""
    plan = drive.plan
    return {
        "output": str(order.output),
        "frames": len(plan),
        "duration_s": float(plan.seconds()[-1] + 1 / drive.footage.index.rate),
        "filmed_frames": int((drive.strength == 0).sum()),
        "seconds": seconds,
        "fps": len(plan) / max(seconds, 1e-6),
    }


def _settled(order: DriveOrder, config: Config) -> Config:
    """The settings of this run: a film of which parts change stays as long as it is."""
    if order.is_partial:
        return replace(config, drive=replace(config.drive, length="video"))
    return config


def _require_places(order: DriveOrder, config: Config) -> None:
    """Check that what is to be written fits its names, before any work."""
    require_fitting(order.output, config.drive.delivery.format)
    if order.patch is not None:
        layer_format(order.patch, config.drive.delivery)
    require_marker_names(order.markers)
    if order.plot is not None and order.plot.suffix.lower() != ".png":
        raise MediaError(f"{order.plot}: the plot is a PNG", "end its name in .png")


def _require_outputs(order: DriveOrder, config: Config, clip: Path) -> None:
    folders = {order.output} if config.drive.delivery.format in SEQUENCES else set()
    if order.patch is not None and layer_format(order.patch, config.drive.delivery) in SEQUENCES:
        folders.add(order.patch)
    for output in order.outputs:  # before any folder is made
        require_apart(output, STAGE_NAMES, [order.actor])
    for output, option in order.options.items():
        check = require_output_folder if output in folders else require_output
        check(output, [*order.sources, clip], option)
    if order.preview is not None:
        require_no_whole_result(order.output, "-o")
        if order.patch is not None:
            require_no_whole_result(order.patch, "--patch")


def _cut_to_preview(drive: Drive, order: DriveOrder, scratch: Path) -> Drive:
    """A preview's frames and sound."""
    if order.preview is None:
        return drive
    first, end = preview_frames(order.preview, drive.footage, drive.plan)
    plan = drive.plan
    start_s = Fraction(int(plan.pts[first])) * plan.time_base
    part, sound = drive.part(first, end), scratch / "preview.flac"
    length_s = Fraction(int(part.plan.pts[-1])) * plan.time_base + 1 / drive.footage.index.rate
    if drive.sound is not None and cut_sound(drive.sound, start_s, length_s, sound):
        return part.with_sound(sound)
    return part.with_sound(None)


def _write(
    drive: Drive,
    order: DriveOrder,
    config: Config,
    progress_factory: ProgressFactory,
) -> None:
    """Write the result, and the new mouth alone."""
    rate, clip, plan = drive.footage.index.rate, drive.footage.clip, drive.plan
    with ExitStack() as files, progress_factory("drive") as progress:
        result = open_result(order.output, clip, rate, plan, drive.sound, config.drive, drive.first)
        files.enter_context(result)
        layer = None
        if order.patch is not None:
            layer = files.enter_context(
                open_layer(order.patch, clip, rate, plan, config.drive, drive.first)
            )
        stream_drive(drive, result, layer, progress)


def _entries(order: DriveOrder, drive: Drive, config: Config) -> list[Entry]:
    """The ledger of a result: whatever went into it."""
    entries = result_entries(order.actor, drive.footage.clip)
    performer, audio, script = order.performer, order.audio, order.script
    entries += [performance_entry(entries, performer)] if performer else []
    given = {"speech": audio, "former speech": order.changed_from, "curves": order.expression}
    given |= {"phones": script.phones, "transcript": script.file, "subtitles": order.subtitles}
    entries += [own_entry(kind, path) for kind, path in given.items() if path is not None]
    if not script.phones and audio and not performer and config.drive.closure.strength:
        entries += phone_model_entries()
    if audio or config.drive.retime in ("speech", "pose") or config.drive.eyes.blinks != "keep":
        entries += speech_detector_entries(config.a2e.activity.detector)
    if config.drive.fallback.enabled and config.drive.fallback.hands:
        entries.append(landmark_model_entry("mediapipe"))
    return entries
