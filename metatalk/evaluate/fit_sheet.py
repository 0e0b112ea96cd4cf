"""Sheets for the eye: a fit's curves over time, and its worst frames.

Colours are Okabe and Ito's, which the colour-blind can tell apart: orange is the fit's word,
blue the detector's, as in the overlay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from metatalk.evaluate.doubts import CONFIDENCE, ERROR_MM, PITCH_DEG, YAW_DEG
from metatalk.evaluate.fit_curves import FitCurves
from metatalk.shapes import check_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIT, SEEN, THIRD, DOUBT = "#D55E00", "#0072B2", "#009E73", "#F0E442"
FINE = 0.9  # width of a curve, points
WIDTH_IN, PANEL_IN, HEAD_IN, DPI = 13.0, 1.65, 0.9, 100
TEXT_PT, SMALL_PT = 10, 8.5
GAP_PX, PAPER = 8, 28  # between the pictures of a sheet, and the grey level there
CAPTION_PX, LETTER = 44, 0.5  # under a picture: height, and OpenCV's scale of letters

Curve = tuple[np.ndarray, str, str]  # (T,) values, name, colour


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    label: str  # with the unit
    curves: tuple[Curve, ...]
    limits: tuple[float, ...] = ()  # dashed: where doubt begins
    from_zero: bool = False


def draw_sheet(curves: FitCurves, doubtful: np.ndarray, title: str) -> np.ndarray:
    """Draw the curves of a fit, one under the other, with doubtful frames shaded.

    Args:
        curves: of the fit.
        doubtful: (T,) bool: frames to be shaded.
        title: what stands at the top.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ShapeError: there are not as many frames in doubt's mask as in the curves.
    """
    # Without pyplot: no figure outlives this call and no setting of the process is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_shape("doubtful", doubtful, "T", T=len(curves))
    panels = list_panels(curves)
    size = (WIDTH_IN, PANEL_IN * len(panels) + HEAD_IN)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    rows = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for axes, panel in zip(rows, panels, strict=True):
        _draw_panel(axes, panel, curves.seconds)
        _mark_time(axes, curves, doubtful)
    rows[-1].set_xlabel("seconds", fontsize=TEXT_PT)
    rows[-1].set_xlim(curves.seconds[0], max(curves.seconds[-1], curves.seconds[0] + 1e-3))
    figure.suptitle(f"{title}\nyellow: frames to distrust, dotted: cuts", fontsize=TEXT_PT + 1)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def list_panels(curves: FitCurves) -> list[Panel]:
    """What the sheet shows: a panel for each kind of curve."""
    x, y, z = curves.translation_mm.T
    pitch, yaw, roll = curves.rotation_deg.T
    sureness = (
        (curves.confidence, "confidence", FIT),
        (curves.visible_share, "share of the face that is visible", SEEN),
    )
    light = (
        (curves.light, "on a white surface facing the camera", FIT),
        (curves.colour_error, "error of the skin's colours", SEEN),
    )
    return [
        Panel("lip gap\nmm", _pair(curves.lip_gap_mm, curves.seen_gap_mm), from_zero=True),
        Panel("mouth width\nmm", _pair(curves.width_mm, curves.seen_width_mm)),
        Panel("jaw drop\nmm", ((curves.jaw_mm, "fit, on the mesh", FIT),)),
        Panel(
            "head turned\ndegrees",
            ((yaw, "yaw", FIT), (pitch, "pitch", SEEN), (roll, "roll", THIRD)),
            (-YAW_DEG, -PITCH_DEG, PITCH_DEG, YAW_DEG),
        ),
        Panel(
            "head moved\nmm",
            (
                (_from_median(x), "right in the picture", FIT),
                (_from_median(y), "down", SEEN),
                (_from_median(z), f"away, from {np.nanmedian(z):.0f} mm", THIRD),
            ),
        ),
        Panel(
            "landmark error\nmm",
            (
                (curves.error_mm, "skin", FIT),
                (curves.part_mm["lips"], "lips", SEEN),
                (curves.part_mm["eyes"], "eyes", THIRD),
            ),
            (ERROR_MM,),
            from_zero=True,
        ),
        Panel("sureness\n0 to 1", sureness, (CONFIDENCE,), from_zero=True),
        Panel("light\n1 = full scale", light, from_zero=True),
    ]


def lay_out_frames(
    pictures: Sequence[np.ndarray], captions: Sequence[Sequence[str]], columns: int
) -> np.ndarray:
    """Lay captioned pictures in rows.

    Args:
        pictures: (h, w, 3) uint8 RGB each, of any sizes, in the order of reading.
        captions: lines of ASCII under each, at most two.
        columns: pictures in a row.

    Returns:
        (H, W, 3) uint8 RGB; a small empty sheet where there is no picture.
    """
    rows = -(-len(pictures) // columns)
    tall = max((picture.shape[0] for picture in pictures), default=0) + CAPTION_PX
    wide = max((picture.shape[1] for picture in pictures), default=0)
    shape = (rows * (tall + GAP_PX) + GAP_PX, min(columns, len(pictures) or 1) * (wide + GAP_PX))
    sheet = np.full((shape[0], shape[1] + GAP_PX, 3), PAPER, np.uint8)
    for number, (picture, lines) in enumerate(zip(pictures, captions, strict=True)):
        top = GAP_PX + number // columns * (tall + GAP_PX)
        left = GAP_PX + number % columns * (wide + GAP_PX)
        height, width = picture.shape[:2]
        sheet[top : top + height, left : left + width] = picture
        caption = sheet[top + tall - CAPTION_PX : top + tall, left : left + wide]
        _write_caption(caption, lines)
    return sheet


def _write_caption(strip: np.ndarray, lines: Sequence[str]) -> None:
    """Write into a (CAPTION_PX, w, 3) part of the sheet; what does not fit is cut off."""
    for row, line in enumerate(lines):
        at = (2, round(CAPTION_PX * (0.38 + 0.45 * row)))
        colour = (255, 255, 255) if row == 0 else (200, 200, 200)
        text = np.ascontiguousarray(strip)
        cv2.putText(text, line, at, cv2.FONT_HERSHEY_SIMPLEX, LETTER, colour, 1, cv2.LINE_AA)
        strip[:] = text


def _pair(fitted: np.ndarray, seen: np.ndarray) -> tuple[Curve, ...]:
    both = np.isfinite(fitted) & np.isfinite(seen)
    varies = both.sum() > 1 and fitted[both].std() > 0 and seen[both].std() > 0
    agreement = f", r = {np.corrcoef(fitted[both], seen[both])[0, 1]:.3f}" if varies else ""
    return (seen, "detector", SEEN), (fitted, f"fit{agreement}", FIT)


def _from_median(values: np.ndarray) -> np.ndarray:
    return np.asarray(values - np.nanmedian(values))


def _draw_panel(axes: Axes, panel: Panel, seconds: np.ndarray) -> None:
    for values, name, colour in panel.curves:
        axes.plot(seconds, values, color=colour, linewidth=FINE, label=name)
    low, high = axes.get_ylim()
    for limit in panel.limits:
        axes.axhline(limit, color="0.4", linewidth=0.7, linestyle="--")
    # A limit far away must not flatten the curves.
    axes.set_ylim(0.0 if panel.from_zero else low, high)
    axes.set_ylabel(panel.label, fontsize=TEXT_PT)
    axes.tick_params(labelsize=SMALL_PT)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.0,
        borderpad=0.2,
        fontsize=SMALL_PT,
        ncols=3,
        frameon=False,
    )


def _mark_time(axes: Axes, curves: FitCurves, doubtful: np.ndarray) -> None:
    """Shade doubtful frames, each for as long as it is shown, and mark the cuts."""
    frame_s = 1.0 / curves.rate
    edges = np.flatnonzero(np.diff(np.r_[False, doubtful, False].astype(np.int8)))
    for first, end in edges.reshape(-1, 2).tolist():
        last = curves.seconds[end - 1] + frame_s
        axes.axvspan(curves.seconds[first], last, color=DOUBT, alpha=0.45, linewidth=0)
    for first, _ in curves.shots[1:].tolist():
        axes.axvline(curves.seconds[first], color="0.2", linewidth=0.9, linestyle=":")
