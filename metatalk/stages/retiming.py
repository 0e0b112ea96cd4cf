"""Which footage frame stands behind each frame of a result, as the settings ask."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.activity_config import ActivityConfig
from metatalk.compose.config import DriveConfig
from metatalk.compose.retiming.by_pose import (
    Mouths,
    find_looks,
    mouth_features,
    plan_by_pose,
    watch_scene,
)
from metatalk.compose.retiming.by_speech import (
    PAUSE,
    Source,
    hear_parts,
    plan_by_speech,
    speaking_at,
)
from metatalk.compose.retiming.head_motion import HeadMotion, shown_motion, watch_head
from metatalk.compose.retiming.moments import half_steps
from metatalk.compose.retiming.plan import FramePlan, plan_clock, plan_frames
from metatalk.evaluate.retiming_plot import RetimingTrace, draw_retiming
from metatalk.media.audio import read_sound
from metatalk.media.stills import write_png
from metatalk.media.video import read_pictures
from metatalk.morphable.model import MorphableModel
from metatalk.stages.footage import Footage
from metatalk.timing import FrameIndex
from metatalk.workspace.output import written_aside

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Hearing:
    """When somebody speaks in what is heard; listened to once, when that is first asked for."""

    sound: Path | None = None  # None: nothing is heard
    activity: ActivityConfig = field(default_factory=ActivityConfig)

    def speaking(self, seconds: np.ndarray) -> np.ndarray:
        """Tell whether somebody speaks.

        Args:
            seconds: (N,) times.

        Returns:
            (N,) bool; nobody does after the end.

        Raises:
            MediaError: the sound cannot be read.
        """
        if self.sound is None:
            return np.zeros(len(seconds), bool)
        return speaking_at(self._probability, seconds, self.activity.threshold)

    @cached_property
    def _probability(self) -> np.ndarray:
        """(M,) of speech, eighty a second."""
        assert self.sound is not None
        return hear_speech(read_sound(self.sound).samples, self.activity)


def begin_plan(index: FrameIndex, heard_s: Fraction, config: DriveConfig) -> FramePlan:
    """Plan when a result's frames are shown, and of footage in its order also which.

    Args:
        index: of the clip that is shown.
        heard_s: how long the recording is, seconds.
        config: `retime` and `length`.

    Returns:
        The plan; for re-timed footage `choose_plan` chooses its frames.

    Raises:
        ConfigError: the footage is too short, and is not to be re-timed.
        MediaError: the recording is empty.
    """
    if config.retime == "off" or config.retime == "loop":
        return plan_frames(index, heard_s, config.length, config.retime)
    if index.is_variable:
        LOG.warning(
            "the footage's frames are not evenly spaced: re-timed, all are shown at their mean"
            " rate, %.3f a second; for another, bring the footage to an even rate before",
            float(index.rate),
        )
    return plan_clock(index, heard_s, config.length)


def choose_plan(
    clock: FramePlan,
    footage: Footage,
    moved: np.ndarray,
    hearing: Hearing,
    config: DriveConfig,
    model: MorphableModel,
    avoid: np.ndarray | None = None,
) -> FramePlan:
    """Choose the footage frame behind each frame of a result.

    Args:
        clock: N frames, from `begin_plan`.
        footage: the clip that is shown, T frames.
        moved: (N, E) the face that each frame is to show.
        hearing: what is heard.
        config: `retime` and `retiming`.
        model: the face model.
        avoid: (T,) bool, frames of the footage that are better not shown.

    Returns:
        The plan; `clock` itself where the footage is shown in its order and never turns.

    Raises:
        MediaError: sound or clip cannot be read.
    """
    if config.retime == "off" or config.retime == "loop":
        towards, share = half_steps(clock.frames, footage.landmarks.shots)
        return replace(clock, towards=towards, share=share) if share.any() else clock
    speaking, source = hearing.speaking(clock.seconds()), _open_source(footage)
    cost = None if avoid is None else config.retiming.untrusted * avoid.astype(np.float64)
    if config.retime == "speech":
        return plan_by_speech(clock, speaking, source, config.retiming, cost)
    filmed = footage.track.expression.numpy()
    mouths = Mouths(mouth_features(model, moved), mouth_features(model, filmed))
    scene = watch_scene(read_pictures(footage.clip))
    upper = filmed[:, ~model.lower_units.numpy()]
    looks = find_looks(source.motion.places, source.motion.blink, upper, scene)
    return plan_by_pose(clock, speaking, source, mouths, looks, config.retiming, cost)


def plot_plan(
    path: Path, footage: Footage, plan: FramePlan, hearing: Hearing, config: DriveConfig
) -> None:
    """Draw the way through the footage, with the head's speed.

    Args:
        path: the PNG to be.
        footage: the clip that is shown.
        plan: of the result.
        hearing: what is heard.
        config: `retime`, and how pauses are told from speech.

    Raises:
        MediaError: the sound cannot be read.
        OSError: the disk refuses.
    """
    motion, rate = _watch(footage), float(footage.index.rate)
    shown, seconds = shown_motion(motion, plan, rate), plan.seconds()
    length_s = Fraction(int(plan.pts[-1])) * plan.time_base + 1 / footage.index.rate
    plain = plan_frames(footage.index, length_s, "audio").frames
    parts = hear_parts(hearing.speaking(seconds), seconds, config.retiming)
    trace = RetimingTrace(
        seconds,
        plan.frames,
        is_filmed=plan.is_filmed,
        speaking=parts != PAUSE,
        speed=shown.speed,
        speed_before=motion.speed[np.resize(plain, len(plan))],
        blink=shown.blink,
        shots=footage.landmarks.shots,
        jumps=plan.jumps(),
        turns=plan.turns(),
        repeats=plan.repeats(),
    )
    title = f"drive.retime={config.retime}: {len(plan)} frames of {footage.clip.name}"
    with written_aside(path) as partial:
        write_png(partial, draw_retiming(trace, title))


def _open_source(footage: Footage) -> Source:
    trusted = footage.track.is_trusted.numpy()
    rate = float(footage.index.rate)
    return Source(_watch(footage), trusted, footage.landmarks.shots, rate)


def _watch(footage: Footage) -> HeadMotion:
    rate = float(footage.index.rate)
    return watch_head(footage.track, footage.camera, footage.landmarks, rate)
