"""All that comes before the first frame of a drive: what is shown when, and by whom it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metatalk.compose.eyes.blink_plan import EyeTask
from metatalk.compose.eyes.patches import EyeClip, Eyes, prepare_eyes
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.stretches import Fallback, fade_in_order
from metatalk.compose.mouth import tune_mouth
from metatalk.compose.retiming.plan import FramePlan, retime_track, retime_transforms
from metatalk.compose.revoice import Performance, Studio
from metatalk.compose.segments import blend_expression
from metatalk.config import Config
from metatalk.interchange.edits import Edits
from metatalk.interchange.reading import read_curves
from metatalk.media.audio import audio_duration
from metatalk.media.clip_sound import align_sound
from metatalk.media.ordered import read_pictures_in_order
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.actor import actor_config, require_face_model, require_trained
from metatalk.stages.artefacts import load_index
from metatalk.stages.clip_artefacts import MEASURED_LATER
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_parts import Segments, choose_segments, preview_frames
from metatalk.stages.face_model import open_face_model
from metatalk.stages.footage import Footage, open_footage
from metatalk.stages.grades import open_grades
from metatalk.stages.keeping import keep_filmed
from metatalk.stages.mouths import Mouth, open_acted_mouth, open_spoken_mouth
from metatalk.stages.performance import drawn_expression
from metatalk.stages.performer import open_performance
from metatalk.stages.retiming import Hearing, begin_plan, choose_plan
from metatalk.stages.stage import ProgressFactory, silent_progress
from metatalk.stages.studio import OpenStudio, choose_sources, open_studio
from metatalk.timing import true_runs
from metatalk.workspace.actor import ActorFolder


@dataclass(frozen=True, eq=False)
class Drive:
    """One result, before it is drawn."""

    footage: Footage
    plan: FramePlan
    performance: Performance  # of the whole result, whatever part of it is made
    studio: Studio
    sound: Path | None  # what is heard; None: nothing
    segments: Segments | None = None  # the parts that are new; None: all
    fallbacks: tuple[Fallback, ...] = ()  # where the filmed mouth stays; frames of the plan
    first: int = 0  # row of the performance that is the plan's first frame
    hearing: Hearing = field(default_factory=Hearing)  # of all of the sound, as the performance is

    @property
    def strength(self) -> np.ndarray:
        """(N,) of the plan's frames: 1 shows the new face, 0 the filmed one."""
        return self.performance.strength[self.first : self.first + len(self.plan)]

    def part(self, first: int, end: int) -> Drive:
        """Frames `first` up to, not with, `end`, the first of them at time 0; all of the sound."""
        plan = self.plan.part(first, end)
        start_s = float(self.plan.seconds()[first])
        end_s = start_s + float(plan.seconds()[-1] + 1 / self.footage.index.rate)
        fallbacks = [
            replace(one, first=max(one.first - first, 0), end=min(one.end, end) - first)
            for one in self.fallbacks
            if one.first < end and one.end > first
        ]
        return replace(
            self,
            plan=plan,
            segments=self.segments and self.segments.part(first, end, start_s, end_s),
            fallbacks=tuple(fallbacks),
            first=self.first + first,
        )

    def with_sound(self, sound: Path | None) -> Drive:
        """The same with another sound."""
        return replace(self, sound=sound)


@dataclass(frozen=True, eq=False)
class _Begun:
    """What every step of a preparation needs."""

    order: DriveOrder
    folder: ActorFolder
    config: Config  # the actor's settings, with those of this run
    model: MorphableModel
    rerun: frozenset[str]  # stages to compute again
    progress_factory: ProgressFactory


def prepare_drive(
    order: DriveOrder,
    config: Config,
    scratch: Path,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
) -> Drive:
    """Do all that comes before the first frame.

    Args:
        order: what is asked.
        config: all settings.
        scratch: a folder for files that last as long as the run.
        rerun: stages to compute again, of the target's and the performer's.
        progress_factory: who is told how far each stage is.

    Returns:
        What is to be shown, and everything it takes to draw it.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    begun = _begin(order, config, rerun, progress_factory)
    folder, config, model = begun.folder, begun.config, begun.model
    spoken_s = audio_duration(order.audio) if order.audio else None
    edits = _read_edits(begun)
    others = rerun - MEASURED_LATER
    footage = open_footage(folder, order.target, config, others, progress_factory)
    mouth, sound = _open_mouth(begun, footage, spoken_s, scratch)
    hearing = Hearing(sound, config.a2e.activity)
    clock = begin_plan(footage.index, mouth.heard_s, config.drive)
    # What can be refused by the times alone is refused before the clip is looked at.
    if order.preview is not None:
        preview_frames(order.preview, footage, clock)
    segments = choose_segments(order, footage, clock, float(mouth.heard_s), config)
    kept = keep_filmed(folder, footage, config, rerun, progress_factory)
    moved = mouth.move(clock.seconds())
    plan = choose_plan(clock, footage, moved, hearing, config.drive, model, kept.strength == 0)
    filmed = retime_track(footage.track, plan)
    shown = _show(begun, mouth, moved, plan.seconds(), filmed.expression.numpy(), edits)
    strength, wanted = _strength(footage, plan, kept.strength, config), np.ones(len(plan), bool)
    if segments is not None:
        shown = blend_expression(filmed.expression.numpy(), shown, segments.ramps.mouth)
        strength = np.minimum(strength, segments.ramps.picture)
        wanted = segments.ramps.picture > 0
    opened = _open_studio(begun, footage, kept.standing)
    eyes = _open_eyes(footage, plan, opened.studio, hearing, config, strength > 0)
    performance = _perform(opened, plan, filmed, torch.from_numpy(shown), strength, eyes)
    stays = tuple(fallbacks_of(plan, kept.fallbacks, wanted))
    return Drive(footage, plan, performance, opened.studio, sound, segments, stays, hearing=hearing)


def _begin(
    order: DriveOrder, config: Config, rerun: frozenset[str], progress_factory: ProgressFactory
) -> _Begun:
    """Check that the actor can do what is asked, and open what is needed throughout."""
    folder = ActorFolder(order.actor)
    require_trained(folder, frozenset({"train_a2e"}) if order.performer else frozenset())
    config = actor_config(folder, config)
    require_face_model(folder, config)
    model = open_face_model(config.fit.face_model, config.landmarks)
    return _Begun(order, folder, config, model, rerun, progress_factory)


def _read_edits(begun: _Begun) -> Edits | None:
    """The curves that were edited by hand; None where there are none."""
    if begun.order.expression is None:
        return None
    own_rate = load_index(begun.folder.path("ingest") / "frames.npz").rate
    return read_curves(begun.order.expression, begun.model, own_rate)


def _open_mouth(
    begun: _Begun, footage: Footage, spoken_s: Fraction | None, scratch: Path
) -> tuple[Mouth, Path | None]:
    """Who moves the mouth, and what is heard; `spoken_s` is how long the recording is."""
    order, folder, config, model = begun.order, begun.folder, begun.config, begun.model
    if order.performer is None:
        assert order.audio is not None  # an order has something to say
        assert spoken_s is not None
        spoken = open_spoken_mouth(folder, order.audio, spoken_s, order.script, config, model)
        return spoken, order.audio
    others = begun.rerun - MEASURED_LATER
    performed = open_performance(
        folder, order.performer, footage, config, others, begun.progress_factory
    )
    sound, heard_s = order.audio, spoken_s
    if heard_s is None:
        heard_s = performed.index.exact_duration
        sound = align_sound(performed.clip, heard_s, scratch / "sound.flac")
    return open_acted_mouth(folder, performed, order.performer, heard_s, model), sound


def _show(
    begun: _Begun,
    mouth: Mouth,
    moved: np.ndarray,
    seconds: np.ndarray,
    filmed: np.ndarray,
    edits: Edits | None,
) -> np.ndarray:
    """(N, E) float32: the new lower face on the filmed upper one, as it is tuned and edited."""
    model, lower = begun.model, begun.model.lower_units.numpy()
    tuned = tune_mouth(moved, seconds, mouth.rest, lower, begun.config.drive.mouth)
    said, predicted = (np.where(lower, face, filmed).astype(np.float32) for face in (tuned, moved))
    shown = mouth.finish(said, seconds, predicted)
    if edits is None:
        return shown
    is_acted = begun.order.performer is not None
    return drawn_expression(
        shown, edits, seconds, model.expression_names, lower, mouth.rest, is_acted
    )


def _open_studio(begun: _Begun, footage: Footage, standing: Foreground | None) -> OpenStudio:
    """The actor before the clip's camera, in its light."""
    folder, config, model = begun.folder, begun.config, begun.model
    grades = open_grades(folder, footage, config, model, begun.rerun, begun.progress_factory)
    return open_studio(folder, footage, config, model, grades, standing)


def _perform(
    opened: OpenStudio,
    plan: FramePlan,
    filmed: TrackCoefficients,
    expression: Tensor,
    strength: np.ndarray,
    eyes: Eyes | None,
) -> Performance:
    """What the frames are to show, and what it takes to draw it."""
    sources = None
    if opened.library:
        sources = choose_sources(opened.library, filmed.with_expression(expression))
    transforms = retime_transforms(opened.transforms, plan)
    return Performance(plan.frames, filmed, transforms, expression, strength, sources, eyes)


def _strength(footage: Footage, plan: FramePlan, kept: np.ndarray, config: Config) -> np.ndarray:
    """(N,) float32: how much of the new face a result's frames take, (T,) of the footage's."""
    strength = kept[plan.frames]
    if plan.towards is not None:
        strength = np.minimum(strength, kept[plan.towards])
    return fade_in_order(strength, plan.shots(footage.landmarks.shots), config.drive.fade_frames)


def fallbacks_of(
    plan: FramePlan, fallbacks: Sequence[Fallback], wanted: np.ndarray
) -> list[Fallback]:
    """Tell where a result keeps the filmed mouth though a new one is wanted.

    Args:
        plan: of the result.
        fallbacks: of the footage.
        wanted: (N,) bool, frames that are to have a new mouth.

    Returns:
        The same with the result's frame numbers, by the first.
    """
    found = []
    for one in fallbacks:
        inside = (plan.frames >= one.first) & (plan.frames < one.end)
        if plan.towards is not None:
            inside |= (plan.towards >= one.first) & (plan.towards < one.end) & ~plan.is_filmed
        found += [replace(one, first=a, end=b) for a, b in true_runs(inside & wanted)]
    return sorted(found, key=lambda one: (one.first, one.end))


def _open_eyes(
    footage: Footage,
    plan: FramePlan,
    studio: Studio,
    hearing: Hearing,
    config: Config,
    may_change: np.ndarray,
) -> Eyes | None:
    """Other eyes where blinks are to go or to come; None where all stay as filmed."""
    if config.drive.eyes.blinks == "keep":
        return None
    clip = EyeClip(
        footage.landmarks,
        footage.track,
        studio.scene,
        float(footage.index.rate),
        partial(read_pictures_in_order, footage.clip, index=footage.index, native=True),
    )
    task = EyeTask(plan, hearing.speaking(plan.seconds()), may_change)
    return prepare_eyes(task, clip, config.drive.eyes, config.seed)
