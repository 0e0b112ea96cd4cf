"""Drive: an actor, a recording and a clip become a video."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from metatalk import __version__
from metatalk.compose.ahead import WriteBehind, read_ahead
from metatalk.compose.retiming import FramePlan, plan_frames
from metatalk.compose.revoice import Performance, Studio, presence, revoice
from metatalk.config import Config
from metatalk.errors import MediaError
from metatalk.interchange.edits import Edits
from metatalk.interchange.reading import read_curves
from metatalk.landmarks.track import LandmarkTrack
from metatalk.media.audio import audio_duration
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.writer import VideoWriter
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.neural.generator import build_generator
from metatalk.neural.infer import prepare_for_rendering
from metatalk.render.scene import Scene
from metatalk.stages.actor import actor_config, require_face_model, require_trained
from metatalk.stages.artefacts import (
    load_crop_plan,
    load_index,
    load_landmarks,
    load_mouth,
    load_weights,
)
from metatalk.stages.device import choose_device
from metatalk.stages.face_model import face_model_card, open_face_model
from metatalk.stages.fit import FIT_TARGET
from metatalk.stages.ingest import INGEST
from metatalk.stages.landmarks import LANDMARKS
from metatalk.stages.performance import drawn_expression, spoken_expression
from metatalk.stages.provenance import own_entry, result_entries, write_result_ledger
from metatalk.stages.stage import (
    STAGE_NAMES,
    Progress,
    ProgressFactory,
    run_stages,
    silent_progress,
)
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.digest import digest_file
from metatalk.workspace.footage import find_footage, is_footage
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import require_apart, require_output

LOG = logging.getLogger(__name__)
CONTAINERS = (".mp4", ".m4v", ".mov", ".mkv")
WAITING = 6  # decoded and finished frames that may wait on either side of the networks


@dataclass(frozen=True, eq=False)
class Footage:
    """The clip that is to speak, taken apart."""

    clip: Path
    index: FrameIndex
    landmarks: LandmarkTrack
    track: TrackCoefficients
    camera: Camera


@dataclass(frozen=True, eq=False)
class Drive:
    """One result, before it is drawn."""

    footage: Footage
    plan: FramePlan
    performance: Performance
    studio: Studio


def drive_actor(
    actor: Path,
    audio: Path,
    output: Path,
    target: Path | None,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
    expression: Path | None = None,
) -> Metrics:
    """Make an actor say a recording.

    Args:
        actor: the actor folder, trained.
        audio: the recording; any audio or video file.
        output: the video to write: .mp4, .mov or .mkv.
        target: another clip of the actor to show; None shows the training clip.
        config: all settings.
        rerun: stages to compute again, of the target's.
        progress_factory: who is told how far each stage is.
        expression: edited curves that move the lower face in place of the recording's words.

    Returns:
        Frames, seconds, frames a second, and how many frames kept the filmed mouth.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    folder = ActorFolder(actor)
    require_container(output)
    require_output(output, [audio, *(path for path in (target, expression) if path)])
    require_apart(output, STAGE_NAMES, [actor])
    with folder.lock(shared=True):
        drive = prepare_drive(actor, audio, target, config, rerun, progress_factory, expression)
        require_output(output, [drive.footage.clip])
        plan, started = drive.plan, time.monotonic()
        with disk_errors_remedied(output.parent), progress_factory("drive") as progress:
            with _open_writer(output, audio, drive, config) as writer:
                _stream(drive, writer, progress)
            given = [own_entry("speech", audio)]
            given += [own_entry("curves", expression)] if expression else []
            write_result_ledger(output, [*result_entries(actor, drive.footage.clip), *given])
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
    audio: Path,
    target: Path | None,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
    expression: Path | None = None,
) -> Drive:
    """Do all that comes before the first frame; arguments and errors as in `drive_actor`.

    Returns:
        What is to be shown, and everything it takes to draw it.
    """
    folder = ActorFolder(actor)
    require_trained(folder)
    config = actor_config(folder, config)
    require_face_model(folder, config)
    sound_s = audio_duration(audio)
    model = open_face_model(config.fit.face_model, config.landmarks)
    own_rate = load_index(folder.path("ingest") / "frames.npz").rate
    edits = read_curves(expression, model, own_rate) if expression else None
    footage = _open_footage(folder, target, config, rerun, progress_factory)
    plan = plan_frames(footage.index, sound_s, config.drive.length)
    performance = _perform(folder, footage, audio, plan, config, model.expression_names, edits)
    return Drive(footage, plan, performance, _open_studio(folder, footage, config, model))


def _open_footage(
    folder: ActorFolder,
    target: Path | None,
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
) -> Footage:
    clip, root = target or find_footage(folder.root), folder.root
    if target is not None and not is_footage(folder.root, target):
        root = folder.root / "targets" / digest_file(target)[-16:]
        card = face_model_card(config.fit.face_model, config.landmarks)
        sources = {"clip": target, "actor": folder.path("fit"), "face_model": card}
        run_stages([INGEST, LANDMARKS, FIT_TARGET], root, sources, config, rerun, progress_factory)
    artefacts = ActorFolder(root)
    _, track, camera = load_coefficients(artefacts.path("fit") / "coefficients.npz")
    return Footage(
        clip,
        load_index(artefacts.path("ingest") / "frames.npz"),
        load_landmarks(artefacts.path("landmarks") / "landmarks.npz"),
        track,
        camera,
    )


def _open_studio(
    folder: ActorFolder, footage: Footage, config: Config, model: MorphableModel
) -> Studio:
    """Put the actor, as trained, before the footage's camera."""
    person, _, _ = load_coefficients(folder.path("fit") / "coefficients.npz")
    crops = load_crop_plan(folder.path("render") / "crops.json")
    render = config.render
    scene = Scene(model, person, footage.camera, crops.size, render.grow_px, render.backend)
    weights = load_weights(folder.path("train_renderer") / "generator.safetensors")
    device = choose_device(config.device)
    return Studio(
        scene,
        footage.track,
        scene.transforms(
            footage.track, crops.layout, config.render.steady_frames, footage.landmarks.shots
        ),
        prepare_for_rendering(build_generator(config.neural, weights), device),
        config.drive,
    )


def _perform(
    folder: ActorFolder,
    footage: Footage,
    audio: Path,
    plan: FramePlan,
    config: Config,
    names: tuple[str, ...],
    edits: Edits | None,
) -> Performance:
    """Let the recording, or edited curves, move the mouth and the footage everything else."""
    space, network = load_mouth(folder.path("train_a2e"), config.a2e)
    seconds, filmed = plan.seconds(), footage.track.expression.numpy()[plan.frames]
    shown = spoken_expression(space, network, audio, seconds, filmed, config.a2e)
    if edits is not None:
        rest = space.mouth_to_expression(network.rest.numpy()[None])[0]
        shown = drawn_expression(shown, edits, seconds, names, space, rest)
    strength = presence(
        footage.track.is_trusted.numpy(), footage.landmarks.shots, config.drive.fade_frames
    )
    return Performance(plan.frames, torch.from_numpy(shown), strength[plan.frames])


def _open_writer(output: Path, audio: Path, drive: Drive, config: Config) -> VideoWriter:
    footage, plan = drive.footage, drive.plan
    info = probe_video(footage.clip)
    whole = Fraction(int(plan.pts[-1])) * plan.time_base + 1 / footage.index.rate
    tags = {"comment": f"synthetic: the mouth was generated with metatalk {__version__}"}
    if info.timecode:
        tags["timecode"] = info.timecode
    return VideoWriter(
        output,
        info.width,
        info.height,
        footage.index.rate,
        plan.time_base,
        info.colour,
        crf=config.drive.crf,
        preset=config.drive.encoder_preset,
        audio=audio,
        audio_limit_s=whole if config.drive.length == "video" else None,
        metadata=tags,
        pixel_aspect=info.pixel_aspect,
    )


def _stream(drive: Drive, writer: VideoWriter, progress: Progress) -> None:
    """Decode, revoice and encode side by side; memory holds a few frames of each."""
    plan, footage = drive.plan, drive.footage
    source = read_pictures_in_order(footage.clip, plan.frames.tolist(), footage.index)
    with WriteBehind[tuple[Picture, int]](lambda item: writer.write(*item), WAITING) as behind:
        pictures = revoice(read_ahead(source, WAITING), drive.performance, drive.studio)
        for done, (picture, pts) in enumerate(zip(pictures, plan.pts.tolist(), strict=True)):
            behind.put((picture, pts))
            progress(done + 1, len(plan))
