"""Drive: an actor, a recording or another performance, and a clip become a video."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from metatalk.a2e.lip_meter import make_lip_meter
from metatalk.compose.ahead import WriteBehind, one_thread_each, read_ahead
from metatalk.compose.retiming import FramePlan, plan_frames
from metatalk.compose.revoice import Performance, Studio, presence, revoice
from metatalk.config import Config
from metatalk.errors import ConfigError, MediaError
from metatalk.interchange.reading import read_curves
from metatalk.media.audio import audio_duration
from metatalk.media.clip_sound import align_sound
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.writer import VideoWriter
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.render.bands import count_cores
from metatalk.stages.actor import actor_config, require_face_model, require_trained
from metatalk.stages.artefacts import load_index, load_mouth
from metatalk.stages.face_model import open_face_model
from metatalk.stages.footage import Footage, open_footage
from metatalk.stages.ingredients import require_current_consents, require_safe_actor
from metatalk.stages.library import Material
from metatalk.stages.performance import acted_expression, drawn_expression, spoken_expression
from metatalk.stages.performer import (
    Performer,
    actor_range,
    open_performance,
    performance_entry,
    read_act,
)
from metatalk.stages.provenance import own_entry, result_entries, write_result_ledger
from metatalk.stages.result_video import open_result
from metatalk.stages.script import Script, close_spoken_lips
from metatalk.stages.stage import STAGE_NAMES, Progress, ProgressFactory, silent_progress
from metatalk.stages.studio import choose_sources, open_studio
from metatalk.stages.terms import phone_model_entries
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import require_apart, require_output

LOG = logging.getLogger(__name__)
CONTAINERS = (".mp4", ".m4v", ".mov", ".mkv")
WAITING = 6  # decoded and finished frames that may wait on either side of the networks
MOST_WORKERS = 4  # batches worked on at once; each holds a few frames in memory


@dataclass(frozen=True, eq=False)
class Drive:
    """One result, before it is drawn."""

    footage: Footage
    plan: FramePlan
    performance: Performance
    studio: Studio
    performed: Footage | None = None  # the clip that drives it in place of a recording


def drive_actor(
    actor: Path,
    audio: Path | None,
    output: Path,
    target: Path | None,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
    expression: Path | None = None,
    performer: Performer | None = None,
    script: Script | None = None,
) -> Metrics:
    """Make an actor say a recording, or do what is done in another clip.

    Args:
        actor: the actor folder, trained.
        audio: the recording; any audio or video file. None: the performer's sound.
        output: the video to write: .mp4, .mov or .mkv.
        target: another clip of the actor to show; None shows the training clip.
        config: all settings.
        rerun: stages to compute again, of the target's and the performer's.
        progress_factory: who is told how far each stage is.
        expression: edited curves that move the lower face in place of the recording's words.
        performer: a clip whose face moves the actor's in place of the recording's words.
        script: what is known of the recording's words; None: nothing.

    Returns:
        Frames, seconds, frames a second, and how many frames kept the filmed mouth.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    folder = ActorFolder(actor)
    require_container(output)
    acted = performer.clip if performer else None
    require_current_consents([target, acted])
    if config.commercial_safe:
        require_safe_actor(actor, [target, acted])
    require_output(output, [path for path in (audio, target, expression, acted) if path])
    require_apart(output, STAGE_NAMES, [actor])
    with folder.lock(shared=True), tempfile.TemporaryDirectory() as scratch:
        drive = prepare_drive(
            actor, audio, target, config, rerun, progress_factory, expression, performer, script
        )
        require_output(output, [drive.footage.clip])
        sound = audio or _performed_sound(drive, Path(scratch))
        plan, started = drive.plan, time.monotonic()
        with disk_errors_remedied(output.parent), progress_factory("drive") as progress:
            rate = drive.footage.index.rate
            opened = open_result(output, drive.footage.clip, rate, drive.plan, sound, config.drive)
            with opened as writer:
                _stream(drive, writer, progress)
            entries = result_entries(actor, drive.footage.clip)
            entries += [performance_entry(entries, performer)] if performer else []
            entries += [own_entry("speech", audio)] if audio else []
            entries += [own_entry("curves", expression)] if expression else []
            if script and script.phones:
                entries.append(own_entry("phones", script.phones))
            elif audio and not performer and config.drive.closure.strength:
                entries += phone_model_entries()
            write_result_ledger(output, entries)
    seconds = time.monotonic() - started
    return {
        "output": str(output),
        "frames": len(plan),
        "duration_s": float(plan.seconds()[-1] + 1 / drive.footage.index.rate),
        "filmed_frames": int((drive.performance.strength == 0).sum()),
        "seconds": seconds,
        "fps": len(plan) / max(seconds, 1e-6),
    }


def require_container(output: Path) -> None:
    """Check that the result's name ends like a container that can be written.

    Raises:
        MediaError: it does not.
    """
    if output.suffix.lower() not in CONTAINERS:
        raise MediaError(
            f"{output}: no container is known by this ending", f"use {', '.join(CONTAINERS)}"
        )


def prepare_drive(
    actor: Path,
    audio: Path | None,
    target: Path | None,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
    expression: Path | None = None,
    performer: Performer | None = None,
    script: Script | None = None,
) -> Drive:
    """Do all that comes before the first frame; arguments and errors as in `drive_actor`.

    Returns:
        What is to be shown, and everything it takes to draw it.
    """
    folder = ActorFolder(actor)
    require_trained(folder, frozenset({"train_a2e"}) if performer else frozenset())
    config = actor_config(folder, config)
    require_face_model(folder, config)
    sound_s = audio_duration(audio) if audio else None
    model = open_face_model(config.fit.face_model, config.landmarks)
    own_rate = load_index(folder.path("ingest") / "frames.npz").rate
    edits = read_curves(expression, model, own_rate) if expression else None
    footage = open_footage(folder, target, config, rerun, progress_factory)
    performed, length = None, config.drive.length
    if performer:
        performed = open_performance(folder, performer, footage, config, rerun, progress_factory)
        heard_s = performed.index.exact_duration if sound_s is None else sound_s
        plan = plan_frames(footage.index, heard_s, length)
        shown, rest = _act(folder, footage, plan, model, performer, performed)
    elif audio and sound_s is not None:
        plan = plan_frames(footage.index, sound_s, length)
        shown, rest = _speak(folder, footage, plan, config, audio, model, script or Script())
    else:
        raise ConfigError("there is nothing to say", "give AUDIO, or --expression-from CLIP")
    if edits is not None:
        names, lower, is_acted = model.expression_names, model.lower_units.numpy(), bool(performer)
        shown = drawn_expression(shown, edits, plan.seconds(), names, lower, rest, is_acted)
    studio, library = open_studio(folder, footage, config, model)
    performance = _perform(footage, plan, config, shown, library)
    return Drive(footage, plan, performance, studio, performed)


def _speak(
    folder: ActorFolder,
    footage: Footage,
    plan: FramePlan,
    config: Config,
    audio: Path,
    model: MorphableModel,
    script: Script,
) -> tuple[np.ndarray, np.ndarray]:
    """Let the recording move the mouth: (N, E) the result's expression, (E,) the face at rest."""
    space, network = load_mouth(folder.path("train_a2e"), config.a2e)
    filmed = footage.track.expression.numpy()[plan.frames]
    seconds = plan.seconds()
    shown = spoken_expression(space, network, audio, seconds, filmed, config.a2e)
    if model.landmark_layout:
        person, own, _ = load_coefficients(folder.path("fit") / "coefficients.npz")
        seen = own.expression.numpy(), own.is_trusted.numpy()
        meter = make_lip_meter(model, person.identity, *seen)
        closure = config.drive.closure
        shown = close_spoken_lips(
            shown, audio, seconds, space, meter, script, closure, config.a2e.activity
        )
    elif script != Script():
        LOG.warning("the face model has no landmarks: its lips cannot be closed by phones")
    return shown, space.mouth_to_expression(network.rest.numpy()[None])[0]


def _act(
    folder: ActorFolder,
    footage: Footage,
    plan: FramePlan,
    model: MorphableModel,
    performer: Performer,
    performed: Footage,
) -> tuple[np.ndarray, np.ndarray]:
    """Let a performance move the mouth: (N, E) the result's expression, (E,) the face at rest."""
    own = actor_range(folder, model.has_units)
    act = read_act(performed, performer, own, model.has_units)
    filmed, lower = footage.track.expression.numpy()[plan.frames], model.lower_units.numpy()
    return acted_expression(act, plan.seconds(), filmed, lower, own.rest), own.rest


def _perform(
    footage: Footage,
    plan: FramePlan,
    config: Config,
    expression: np.ndarray,
    library: Material | None,
) -> Performance:
    """The new face, where it is shown, and where its texture comes from."""
    strength = presence(
        footage.track.is_trusted.numpy(), footage.landmarks.shots, config.drive.fade_frames
    )
    shown = torch.from_numpy(expression)
    track = footage.track.take(plan.frames).with_expression(shown)
    sources = choose_sources(library, track) if library else None
    return Performance(plan.frames, shown, strength[plan.frames], sources)


def _performed_sound(drive: Drive, scratch: Path) -> Path | None:
    """The performer's own sound; None, with a word, where there is none."""
    if drive.performed is None:
        return None
    clip, length_s = drive.performed.clip, drive.performed.index.exact_duration
    return align_sound(clip, length_s, scratch / "sound.flac")


def _stream(drive: Drive, writer: VideoWriter, progress: Progress) -> None:
    """Decode, revoice and encode side by side; memory holds a few frames of each."""
    plan, footage = drive.plan, drive.footage
    source = read_pictures_in_order(footage.clip, plan.frames.tolist(), footage.index)
    write = WriteBehind[tuple[Picture, int]](lambda item: writer.write(*item), WAITING)
    workers = min(count_cores(), MOST_WORKERS)
    with one_thread_each(), write as behind:
        ahead = read_ahead(source, WAITING)
        pictures = revoice(ahead, drive.performance, drive.studio, workers)
        for done, (picture, pts) in enumerate(zip(pictures, plan.pts.tolist(), strict=True)):
            behind.put((picture, pts))
            progress(done + 1, len(plan))
