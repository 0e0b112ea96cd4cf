"""All that comes before the first frame of a drive: what is shown when, and by whom it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from metatalk.compose.eyes.patches import Eyes, prepare_eyes
from metatalk.compose.fallback.stretches import (
    Fallback,
    fade_in_order,
)
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
from metatalk.morphable.model import MorphableModel
from metatalk.stages.actor import actor_config, require_face_model, require_trained
from metatalk.stages.artefacts import load_index
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_parts import Segments, choose_segments
from metatalk.stages.face_model import open_face_model
from metatalk.stages.footage import Footage, open_footage
from metatalk.stages.keeping import keep_filmed
from metatalk.stages.mouths import Mouth, open_acted_mouth, open_spoken_mouth
from metatalk.stages.occlusion import OCCLUSION
from metatalk.stages.performance import drawn_expression
from metatalk.stages.performer import open_performance
from metatalk.stages.retiming import choose_plan, hear_speaking
from metatalk.stages.stage import ProgressFactory, silent_progress
from metatalk.stages.studio import choose_sources, open_studio
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
    folder = ActorFolder(order.actor)
    require_trained(folder, frozenset({"train_a2e"}) if order.performer else frozenset())
    config = actor_config(folder, config)
    require_face_model(folder, config)
    heard_s = audio_duration(order.audio) if order.audio else None
    model = open_face_model(config.fit.face_model, config.landmarks)
    own_rate = load_index(folder.path("ingest") / "frames.npz").rate
    edits = read_curves(order.expression, model, own_rate) if order.expression else None
    others = rerun - {OCCLUSION.name}
    footage = open_footage(folder, order.target, config, others, progress_factory)
    performed, sound = None, order.audio
    if order.performer:
        performed = open_performance(
            folder, order.performer, footage, config, others, progress_factory
        )
        length_s = performed.index.exact_duration
        if sound is None or heard_s is None:
            sound = align_sound(performed.clip, length_s, scratch / "sound.flac")
            heard_s = length_s
        mouth: Mouth = open_acted_mouth(folder, performed, order.performer, heard_s, model)
    else:
        assert sound is not None  # an order has something to say
        assert heard_s is not None
        mouth = open_spoken_mouth(folder, sound, heard_s, order.script, config, model)
    fallbacks, kept = keep_filmed(folder, footage, config, rerun, progress_factory)
    plan = choose_plan(footage, mouth, sound, config, model, kept == 0)
    filmed = retime_track(footage.track, plan)
    shown = _show(mouth, plan, filmed.expression.numpy(), config, model)
    if edits is not None:
        shown = _draw(shown, edits, plan, mouth, model, bool(order.performer))
    strength, wanted = _strength(footage, plan, kept, config), np.ones(len(plan), bool)
    segments = choose_segments(order, footage, plan, float(mouth.heard_s), config)
    if segments is not None:
        shown = blend_expression(filmed.expression.numpy(), shown, segments.ramps.mouth)
        strength = np.minimum(strength, segments.ramps.picture)
        wanted = segments.ramps.picture > 0
    opened = open_studio(folder, footage, config, model)
    expression = torch.from_numpy(shown)
    sources = None
    if opened.library:
        sources = choose_sources(opened.library, filmed.with_expression(expression))
    performance = Performance(
        plan.frames,
        filmed,
        retime_transforms(opened.transforms, plan),
        expression,
        strength,
        sources,
        _open_eyes(footage, plan, opened.studio, sound, config, strength > 0),
    )
    stays = tuple(fallbacks_of(plan, fallbacks, wanted))
    return Drive(footage, plan, performance, opened.studio, sound, segments, stays)


def _strength(footage: Footage, plan: FramePlan, kept: np.ndarray, config: Config) -> np.ndarray:
    """(N,) float32: how much of the new face a result's frames take, (T,) of the footage's."""
    strength = kept[plan.frames]
    if plan.towards is not None:
        strength = np.minimum(strength, kept[plan.towards])
    shot = np.searchsorted(footage.landmarks.shots[:, 0], plan.frames, side="right")
    return fade_in_order(strength, shot, config.drive.fade_frames)


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
    sound: Path | None,
    config: Config,
    may_change: np.ndarray,
) -> Eyes | None:
    """Other eyes where blinks are to go or to come; None where all stay as filmed."""
    if config.drive.eyes.blinks == "keep":
        return None
    return prepare_eyes(
        plan,
        footage.landmarks,
        footage.track,
        studio.scene,
        float(footage.index.rate),
        hear_speaking(sound, plan.seconds(), config),
        config.drive.eyes,
        config.seed,
        partial(read_pictures_in_order, footage.clip, index=footage.index, native=True),
        may_change,
    )


def _show(
    mouth: Mouth, plan: FramePlan, filmed: np.ndarray, config: Config, model: MorphableModel
) -> np.ndarray:
    """(N, E) float32: the new lower face on the filmed upper one."""
    seconds, lower = plan.seconds(), model.lower_units.numpy()
    moved = tune_mouth(mouth.move(seconds), seconds, mouth.rest, lower, config.drive.mouth)
    return mouth.finish(np.where(lower, moved, filmed).astype(np.float32), seconds)


def _draw(
    shown: np.ndarray,
    edits: Edits,
    plan: FramePlan,
    mouth: Mouth,
    model: MorphableModel,
    is_acted: bool,
) -> np.ndarray:
    """(N, E) float32: as edited by hand."""
    names, lower = model.expression_names, model.lower_units.numpy()
    return drawn_expression(shown, edits, plan.seconds(), names, lower, mouth.rest, is_acted)
