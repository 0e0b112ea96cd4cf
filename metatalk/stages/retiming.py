"""Which footage frame stands behind each frame of a result, as the settings ask."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
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
from metatalk.compose.retiming.plan import FramePlan, plan_clock, plan_frames
from metatalk.config import Config
from metatalk.evaluate.retiming_plot import RetimingTrace, draw_retiming
from metatalk.media.audio import read_sound
from metatalk.media.stills import write_png
from metatalk.media.video import read_pictures
from metatalk.morphable.model import MorphableModel
from metatalk.stages.footage import Footage
from metatalk.stages.mouths import Mouth
from metatalk.workspace.output import written_aside


def choose_plan(
    footage: Footage,
    mouth: Mouth,
    sound: Path | None,
    config: Config,
    model: MorphableModel,
    avoid: np.ndarray | None = None,
) -> FramePlan:
    """Plan a result, frame by frame.

    Args:
        footage: the clip that is shown.
        mouth: what moves its mouth, and for how long.
        sound: what is heard; None: nothing.
        config: `drive.retime`, `drive.retiming` and `drive.length`.
        model: the face model.
        avoid: (T,) bool, frames of the footage that are better not shown.

    Returns:
        The plan.

    Raises:
        ConfigError: the footage is too short, and is not to be re-timed.
    """
    drive, index = config.drive, footage.index
    if drive.retime == "off" or drive.retime == "loop":
        return plan_frames(index, mouth.heard_s, drive.length, drive.retime)
    clock = plan_clock(index, mouth.heard_s, drive.length)
    speaking = hear_speaking(sound, clock.seconds(), config)
    source = _open_source(footage)
    cost = None if avoid is None else drive.retiming.untrusted * avoid.astype(np.float64)
    if drive.retime == "speech":
        return plan_by_speech(clock, speaking, source, drive.retiming, cost)
    mouths = Mouths(
        mouth_features(model, mouth.move(clock.seconds())),
        mouth_features(model, footage.track.expression.numpy()),
    )
    upper = footage.track.expression.numpy()[:, ~model.lower_units.numpy()]
    scene = watch_scene(read_pictures(footage.clip))
    looks = find_looks(source.motion.places, source.motion.blink, upper, scene)
    return plan_by_pose(clock, speaking, source, mouths, looks, drive.retiming, cost)


def hear_speaking(sound: Path | None, seconds: np.ndarray, config: Config) -> np.ndarray:
    """(N,) bool: whether somebody speaks at these times."""
    if sound is None:
        return np.zeros(len(seconds), bool)
    activity = config.a2e.activity
    return speaking_at(
        hear_speech(read_sound(sound).samples, activity), seconds, activity.threshold
    )


def plot_plan(
    path: Path, footage: Footage, plan: FramePlan, sound: Path | None, config: Config
) -> None:
    """Draw the way through the footage, with the head's speed.

    Args:
        path: the PNG to be.
        footage: the clip that is shown.
        plan: of the result.
        sound: what is heard.
        config: how speech is told from what is none.

    Raises:
        OSError: the disk refuses.
    """
    motion, rate = _watch(footage), float(footage.index.rate)
    shown = shown_motion(motion, plan, rate)
    length = Fraction(int(plan.pts[-1])) * plan.time_base + 1 / footage.index.rate
    plain = plan_frames(footage.index, length, "audio").frames
    before = motion.speed[np.resize(plain, len(plan))]
    seconds = plan.seconds()
    speaking = hear_speaking(sound, seconds, config)
    trace = RetimingTrace(
        seconds,
        plan.frames,
        plan.is_filmed,
        hear_parts(speaking, seconds, config.drive.retiming) != PAUSE,
        shown.speed,
        before,
        shown.blink,
        footage.landmarks.shots,
    )
    title = f"drive.retime={config.drive.retime}: {len(plan)} frames of {footage.clip.name}"
    with written_aside(path) as partial:
        write_png(partial, draw_retiming(trace, title))


def _open_source(footage: Footage) -> Source:
    trusted = footage.track.is_trusted.numpy()
    rate = float(footage.index.rate)
    return Source(_watch(footage), trusted, footage.landmarks.shots, rate)


def _watch(footage: Footage) -> HeadMotion:
    rate = float(footage.index.rate)
    return watch_head(footage.track, footage.camera, footage.landmarks, rate)
