"""The fit's errors as a table: medians and worst of many clips, with the goals beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.evaluate.fit_errors import FitErrors
from metatalk.evaluate.fit_errors_footage import FootageErrors

Clips = Mapping[str, Sequence[FitErrors]]  # heading of a column -> its clips


@dataclass(frozen=True)
class Row:
    """One measure of the table."""

    field: str
    label: str
    digits: int
    best: float  # the value nothing can improve on: worse is further away from it
    goal: str = ""


ROWS = (
    Row("shape_rigid_mm", "neutral shape, rigid alignment, mm", 2, 0, "< 1.2"),
    Row("shape_similarity_mm", "neutral shape, similarity alignment, mm", 2, 0, "< 1.2"),
    Row("shape_average_mm", "*average face instead, similarity, mm*", 2, 0),
    Row("scale", "size of the face by the true one's", 3, 1),
    Row("focal", "focal length by the true one", 2, 1),
    Row("landmark_pct", "landmarks, % of face height", 2, 0, "< 0.9"),
    Row("contour_pct", "outline landmarks, %", 2, 0),
    Row("detected_pct", "fit from detector, %", 2, 0),
    Row("detector_pct", "*detector from truth, %*", 2, 0),
    Row("lip_gap_r", "lip gap r", 3, 1, "> 0.98"),
    Row("detector_gap_r", "*detector's own lip gap r*", 3, 1),
    Row("lip_gap_mm", "lip gap, mm", 2, 0),
    Row("jaw_r", "jaw opening r", 3, 1, "> 0.98"),
    Row("width_r", "mouth width r", 3, 1),
    Row("unit_r", "median unit's r", 3, 1),
    Row("yaw_deg", "yaw, degrees", 2, 0, "< 1"),
    Row("yaw_offset_deg", "yaw, constant part", 2, 0),
    Row("yaw_varying_deg", "yaw, varying part", 2, 0),
    Row("pitch_deg", "pitch, degrees", 2, 0),
    Row("pitch_offset_deg", "pitch, constant part", 2, 0),
    Row("pitch_varying_deg", "pitch, varying part", 2, 0),
    Row("roll_deg", "roll, degrees", 2, 0),
    Row("albedo", "albedo, RGB in 0 to 1", 3, 0),
    Row("light", "shading, relative", 3, 0),
    Row("leak", "mouth units in neutral frames", 3, 0),
    Row("jaw_by_yaw_r", "jawOpen by yaw r, neutral frames", 2, 0),
    Row("jaw_spread", "jawOpen's spread there", 3, 0),
    Row("jitter_mm", "jitter of static points, mm", 3, 0),
    Row("jitter_depth_mm", "the same in depth, mm", 3, 0),
)


def errors_table(clips: Clips) -> str:
    """Write all measures of all clips as a table in Markdown.

    Args:
        clips: the errors of each column's clips.

    Returns:
        One row a measure; a cell is the median over the column's clips, and the worst of them
        in brackets where there are several.
    """
    lines = [["", "goal", *clips], ["---", "---", *["---:"] * len(clips)]]
    for row in ROWS:
        cells = [_cell(row, [getattr(one, row.field) for one in of]) for of in clips.values()]
        lines.append([row.label, row.goal, *cells])
    return _joined(lines)


def units_table(clips: Clips) -> str:
    """Write r of every face unit: median over the clips in which it is active, and the worst."""
    names = sorted({name for of in clips.values() for one in of for name in one.units_r})
    lines = [["unit", *clips], ["---", *["---:"] * len(clips)]]
    for name in names:
        row = Row(name, name, 2, 1)
        columns = [[one.units_r.get(name, np.nan) for one in of] for of in clips.values()]
        lines.append([name, *(_cell(row, column) for column in columns)])
    return _joined(lines)


def footage_table(rows: Mapping[str, tuple[FootageErrors, float, float]]) -> str:
    """Write the errors on real footage as a table in Markdown.

    Args:
        rows: for each clip its errors, and frames a second of the fit and of the detector, each
            with decoding.
    """
    head = ["clip", "frames", "landmarks %", "outline %", "lips %", "lip gap r", "mouth width r",
            "eye opening r", "jitter", "confidence", "focal", "fit frames/s",
            "detector frames/s"]  # fmt: skip
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines.append(["*goal*", "", "< 0.9", "", "< 0.6", "> 0.98", "", "", "< 1", "", "", "", ""])
    for name, (errors, fitted, detected) in rows.items():
        numbers = [f"{errors.landmark_pct:.2f}", f"{errors.contour_pct:.2f}"]
        numbers += [f"{errors.lips_pct:.2f}", f"{errors.lip_gap_r:.3f}", f"{errors.width_r:.3f}"]
        numbers += [f"{errors.blink_r:.3f}", f"{errors.jitter:.2f}", f"{errors.confidence:.2f}"]
        speeds = [f"{errors.focal:.2f}", f"{fitted:.0f}", f"{detected:.0f}"]
        lines.append([name, str(errors.frames), *numbers, *speeds])
    return _joined(lines)


def _cell(row: Row, values: Sequence[float]) -> str:
    told = [value for value in values if np.isfinite(value)]
    if not told:
        return "-"
    median = f"{np.median(told):.{row.digits}f}"
    worst = max(told, key=lambda value: abs(value - row.best))
    return median if len(told) == 1 else f"{median} ({worst:.{row.digits}f})"


def _joined(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
