"""A sheet for the eye: which footage frame is shown when, and how the head moves by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metatalk.shapes import check_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATH, MARK, BEFORE, BLINK, SPEECH = "#0072B2", "#D55E00", "0.55", "#CC79A7", "0.92"
TEXT_PT = 10


@dataclass(frozen=True, eq=False)
class RetimingTrace:
    """A re-timed result, frame by frame, and the same footage played to and fro."""

    seconds: np.ndarray  # (N,) times
    frames: np.ndarray  # (N,) footage frames
    is_filmed: np.ndarray  # (N,) bool: no moment between two footage frames
    speaking: np.ndarray  # (N,) bool
    speed: np.ndarray  # (N,) of the head, face widths a second
    speed_before: np.ndarray  # (N,) of the head where the footage is played as it is
    blink: np.ndarray  # (N,) 0 open eyes, 1 shut
    shots: np.ndarray  # (K, 2) first frame of the footage's shots and one past the last
    jumps: np.ndarray  # frames of the result that the footage does not lead to
    turns: np.ndarray  # those after which it runs the other way
    repeats: np.ndarray  # those whose footage frame was shown just before

    def __post_init__(self) -> None:
        count = check_shape("seconds", self.seconds, "N")["N"]
        for name in ("frames", "is_filmed", "speaking", "speed", "speed_before", "blink"):
            check_shape(name, getattr(self, name), "N", N=count)
        check_shape("shots", self.shots, "K 2")
        for name in ("jumps", "turns", "repeats"):
            check_shape(name, getattr(self, name), "P")


def draw_retiming(trace: RetimingTrace, title: str) -> np.ndarray:
    """Draw the walk through the footage over the head's speed; speech is shaded.

    Args:
        trace: the result.
        title: lines that stand at the top.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # Without pyplot: no figure outlives this call and no setting of the process is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 7.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    path, speed = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for axes in (path, speed):
        _shade_speech(axes, trace)
        axes.margins(x=0.005, y=0.15)  # room for the legend
    _draw_path(path, trace)
    _draw_speed(speed, trace)
    figure.suptitle(title, fontsize=TEXT_PT + 1, wrap=True)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _shade_speech(axes: Axes, trace: RetimingTrace) -> None:
    edges = np.diff(np.concatenate([[0], trace.speaking.astype(int), [0]]))
    ends = np.append(trace.seconds, 2 * trace.seconds[-1:] - trace.seconds[-2:-1])
    for first, end in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True):
        axes.axvspan(ends[first], ends[min(end, len(ends) - 1)], color=SPEECH, linewidth=0)


def _draw_path(axes: Axes, trace: RetimingTrace) -> None:
    # A line is not drawn over a jump: nan breaks it.
    where = np.insert(trace.seconds, trace.jumps, np.nan)
    frames = np.insert(trace.frames.astype(float), trace.jumps, np.nan)
    axes.plot(where, frames, color=PATH, linewidth=1.3)
    marks = (
        (trace.turns, "^", f"turns: {len(trace.turns)}"),
        (trace.repeats, ".", f"repeats: {len(trace.repeats)}"),
        (trace.jumps, "x", f"jumps: {len(trace.jumps)}"),
    )
    for places, marker, label in marks:
        if len(places):
            axes.plot(
                trace.seconds[places],
                trace.frames[places],
                marker,
                color=MARK,
                markersize=6,
                linestyle="none",
                label=label,
            )
    shown = (trace.shots[:, 1] > trace.frames.min()) & (trace.shots[:, 0] <= trace.frames.max())
    for first in trace.shots[shown][1:, 0]:
        axes.axhline(first - 0.5, color=BEFORE, linestyle=":", linewidth=1)
    axes.plot([], [], color=PATH, label=f"frames made of two: {(~trace.is_filmed).sum()}")
    axes.legend(loc="upper left", fontsize=TEXT_PT - 1, ncols=4)
    axes.set_ylabel("footage frame\n(shaded: speech; dotted: a cut)", fontsize=TEXT_PT)


def _draw_speed(axes: Axes, trace: RetimingTrace) -> None:
    axes.plot(
        trace.seconds, trace.speed_before, color=BEFORE, linewidth=0.8, label="played as it is"
    )
    axes.plot(trace.seconds, trace.speed, color=PATH, linewidth=1.3, label="re-timed")
    height = max(float(trace.speed.max()), float(trace.speed_before.max()), 1e-6)
    axes.fill_between(
        trace.seconds,
        0,
        0.15 * height * trace.blink,
        color=BLINK,
        linewidth=0,
        label="eyes shut",
    )
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=TEXT_PT - 1, ncols=3)
    axes.set_xlabel("seconds", fontsize=TEXT_PT)
    axes.set_ylabel("head speed,\nface widths a second", fontsize=TEXT_PT)
