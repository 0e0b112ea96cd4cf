"""A sheet for the eye: how sync was judged over the shifts and over the clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metatalk.lipsync.sync_figures import MAX_SHIFT, SyncFigures
from metatalk.lipsync.tracks import RATE
from metatalk.shapes import check_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE, MARK, QUIET = "#0072B2", "#D55E00", "0.55"  # Okabe and Ito's
TEXT_PT = 10

Span = tuple[np.ndarray, np.ndarray]  # (T,) seconds, (T,) confidence


def draw_sync(figures: SyncFigures, spans: Sequence[Span], star: str, title: str) -> np.ndarray:
    """Draw the mean distance over the shifts, and the confidence over the clip.

    Args:
        figures: of the whole clip.
        spans: seconds and confidence of the windows of every stretch that was judged.
        star: what the judge's figures are marked with.
        title: lines that stand at the top.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ShapeError: a span's times and values do not pair up.
    """
    # Without pyplot: no figure outlives this call and no setting of the process is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 6.4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    shifts, time = figure.subplots(2, 1)
    _draw_shifts(shifts, figures, star)
    _draw_time(time, spans, figures.confidence)
    figure.suptitle(title, fontsize=TEXT_PT + 1, wrap=True)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_shifts(axes: Axes, figures: SyncFigures, star: str) -> None:
    step_ms = 1000 / RATE
    lead_ms = step_ms * (MAX_SHIFT - np.arange(2 * MAX_SHIFT + 1))
    axes.plot(lead_ms, figures.curve, "o-", color=CURVE, markersize=3.5, linewidth=1.2)
    axes.axhline(float(np.median(figures.curve)), color=QUIET, linestyle="--", linewidth=1)
    axes.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    found = (
        f"LSE-D{star} {figures.distance:.3f} at {figures.offset_ms:+d} ms, "
        f"{figures.confidence:.3f} below the median (LSE-C{star})"
    )
    best = ([figures.offset_ms], [figures.distance])
    axes.plot(*best, "o", color=MARK, markersize=8, zorder=3, label=found)
    axes.legend(loc="lower left", fontsize=TEXT_PT - 1)
    axes.set_xlabel("the sound leads the picture by, ms (below 0 it lags)", fontsize=TEXT_PT)
    axes.set_ylabel("mean distance", fontsize=TEXT_PT)
    axes.margins(x=0.02, y=0.12)


def _draw_time(axes: Axes, spans: Sequence[Span], mean: float) -> None:
    for seconds, confidence in spans:
        check_shape("confidence", confidence, "T", T=check_shape("seconds", seconds, "T")["T"])
        axes.plot(seconds, confidence, color=CURVE, linewidth=1.2)
    axes.axhline(0, color=QUIET, linewidth=1)
    axes.axhline(mean, color=MARK, linestyle="--", linewidth=1)
    axes.set_xlabel("seconds", fontsize=TEXT_PT)
    axes.set_ylabel("confidence of each window\n(dashed: mean)", fontsize=TEXT_PT)
    axes.margins(x=0.01, y=0.1)
