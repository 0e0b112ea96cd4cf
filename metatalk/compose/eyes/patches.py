"""Eyes for a result's frames: read and judged before the first, laid over each as it comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from metatalk.compose.blend import Patch
from metatalk.compose.eyes.blink_plan import EyeFootage, EyeTask, look_at_eyes, plan_eyes
from metatalk.compose.eyes.config import EyesConfig
from metatalk.compose.eyes.plan import NOTHING, EyePlan, judge_plan, leave_out, settle_passing
from metatalk.compose.eyes.windows import (
    EyeRim,
    EyeWindow,
    Seen,
    cut_window,
    replace_eyes,
    rim_misfit,
)
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.eyes import EyePlaces, EyeShape, eye_shape, place_eyes
from metatalk.render.scene import Scene

LOG = logging.getLogger(__name__)
ROUNDS = 6  # of planning: what does not fit is planned anew

Reader = Callable[[list[int]], Iterable[Seen]]


@dataclass(frozen=True, eq=False)
class Eyes:
    """Whose eyes a result shows, and those eyes."""

    plan: EyePlan
    windows: dict[int, EyeWindow]  # by footage frame
    shape: EyeShape
    camera: Camera

    def patch(self, row: int, picture: Seen, track: TrackCoefficients) -> Patch | None:
        """Make the eyes of one frame of the result.

        Args:
            row: its number.
            picture: what it shows, its own eyes included.
            track: (1) the head in it.

        Returns:
            What is to be laid over it; None where it keeps its own eyes.
        """
        first, second = (int(donors[row]) for donors in (self.plan.first, self.plan.second))
        if first < 0:
            return None
        own = cut_window(picture, place_eyes(self.shape, self.camera, track))
        if own is None:
            return None
        other = self.windows[second] if second >= 0 else None
        return replace_eyes(own, self.windows[first], other, float(self.plan.share[row]))


@dataclass(frozen=True, eq=False)
class EyeClip:
    """The footage that eyes are taken from."""

    landmarks: LandmarkTrack
    track: TrackCoefficients  # (T) the head
    scene: Scene  # the actor before its camera
    rate: float  # frames a second
    read: Reader  # gives the frames of ascending numbers


def prepare_eyes(task: EyeTask, clip: EyeClip, config: EyesConfig, seed: int) -> Eyes | None:
    """Decide whose eyes a result shows, and fetch them.

    Args:
        task: the result.
        clip: the footage that it shows.
        config: what is to happen to blinks.
        seed: of chance.

    Returns:
        The eyes; None where every frame keeps its own.
    """
    if config.blinks == "keep":
        return None
    scene = clip.scene
    shape = eye_shape(scene)
    if shape is None:
        LOG.warning("the face model does not know its eyes: blinks stay as they were filmed")
        return None
    store = _Store(task.shown.frames, place_eyes(shape, scene.camera, clip.track), clip.read)
    footage = look_at_eyes(clip.landmarks, clip.track, clip.rate)
    plan = _plan_fitting(task, footage, config, seed, store)
    _tell(plan, config)
    kept = plan.donors()
    windows = {frame: store.windows[frame] for frame in kept}
    return Eyes(plan, windows, shape, scene.camera) if kept else None


def _plan_fitting(
    task: EyeTask, footage: EyeFootage, config: EyesConfig, seed: int, store: _Store
) -> EyePlan:
    """Plan until all pictures fit, and leave out at last what still does not."""
    refused = worse = NOTHING
    for _ in range(ROUNDS):
        plan = plan_eyes(task, footage, config, seed, refused)
        store.fetch(plan)
        plan = settle_passing(plan, store.misfit)
        worse = judge_plan(plan, store.misfit, config.rim_limit)
        refused = refused | worse
        if worse == NOTHING:
            break
    return leave_out(plan, worse)


@dataclass(eq=False)
class _Store:
    """What was read of the footage so far, and how well it fits."""

    frames: np.ndarray  # (N,) that the result shows
    places: EyePlaces  # (T)
    read: Reader
    windows: dict[int, EyeWindow] = field(default_factory=dict)  # that give eyes
    rims: dict[int, EyeRim | None] = field(default_factory=dict)  # and that eyes are laid over
    misfits: dict[tuple[int, int], float] = field(default_factory=dict)  # of two footage frames

    def fetch(self, plan: EyePlan) -> None:
        """Read what a plan needs and is not there yet."""
        donors = set(plan.donors())
        needed = donors | {int(self.frames[row]) for row in _judged(plan)}
        missing = sorted(
            frame
            for frame in needed
            if frame not in self.rims or (frame in donors and frame not in self.windows)
        )
        for frame, picture in zip(missing, self.read(missing) if missing else [], strict=True):
            window = cut_window(picture, self.places.take([frame]))
            self.rims[frame] = window.rim if window else None
            if window is not None and frame in donors:
                self.windows[frame] = window

    def misfit(self, row: int, donor: int) -> float:
        """See `rim_misfit`; 0 in rows that are not compared."""
        frame = int(self.frames[row])
        own, other = self.rims.get(frame), self.rims.get(donor)
        if other is None:
            return np.inf
        if frame not in self.rims:
            return 0.0
        if own is None:
            return np.inf
        # Every round asks for the same pairs again, and so do passing and judging.
        if (frame, donor) not in self.misfits:
            self.misfits[frame, donor] = rim_misfit(own, other)
        return self.misfits[frame, donor]


def _judged(plan: EyePlan) -> set[int]:
    """Rows in which pictures are compared: all where a blink goes, three where one comes."""
    rows: set[int] = set()
    for event in plan.events:
        if event.kind == "removed":
            rows |= set(range(event.first, event.end))
        elif event.kind == "placed":
            rows |= {event.first, (event.first + event.end) // 2, event.end - 1}
    return rows


def _tell(plan: EyePlan, config: EyesConfig) -> None:
    """Say what was done, and what could not be."""
    LOG.info(
        "blinks: %d taken out, %d put in, %d kept where they were filmed",
        *(plan.count(kind) for kind in ("removed", "placed", "kept")),
    )
    if left := plan.count("left"):
        LOG.warning(
            "%d of the filmed blinks stay: around the eyes, no open frame beside them looks "
            "like theirs (glasses that reflect, a hand, blur, or a cut); "
            "drive.eyes.rim_limit=%.1f would take more of them out",
            left,
            min(config.rim_limit * 1.5, 1.5),
        )
    if config.blinks == "replace" and not plan.count("placed") and not plan.count("kept"):
        LOG.warning("no blink was put in: the footage shows none that can be carried to a pause")
