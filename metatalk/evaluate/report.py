"""Put the scores of a dub into words: a table, and what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

Scores = Mapping[str, float | int | None]


@dataclass(frozen=True)
class Measure:
    """How to read one score."""

    name: str
    meaning: str
    lowest: float = -math.inf  # of what is acceptable
    highest: float = math.inf
    remark: str = ""  # what a score outside the range says

    def accepts(self, value: float) -> bool:
        """Say whether a score is acceptable."""
        return self.lowest <= value <= self.highest

    @property
    def range(self) -> str:
        """The acceptable range in words."""
        if self.lowest == self.highest:
            return f"{self.lowest:g}"
        if math.isinf(self.lowest) and math.isinf(self.highest):
            return ""
        if math.isinf(self.highest):
            return f"at least {self.lowest:g}"
        return f"{self.lowest:g} to {self.highest:g}"


MEASURES = (
    Measure("mouth_open_r", "correlation of the lip gap, 1 is perfect", 0.5, 1.0,
            "the lips open at other moments than the real ones"),
    Measure("mouth_width_r", "correlation of the mouth's width"),
    Measure("lag_frames", "frames by which the lips come late", -1, 1,
            "sound and lips are out of step"),
    Measure("lmd", "mean distance of the lip landmarks, in inter-ocular distances"),
    Measure("closure_rate", "share of the real lip closures that are kept"),
    Measure("psnr_mouth", "PSNR inside the lower face, dB"),
    Measure("ssim_mouth", "SSIM inside the lower face"),
    Measure("sharpness_ratio", "definition of the lower face, generated / real", 0.5, 1.5,
            "the lower face is blurred (low) or noisy (high)"),
    Measure("psnr_outside", "PSNR outside the face, dB", 40.0, math.inf,
            "what should not have been touched has changed"),
    Measure("jitter_ratio", "restlessness of the lips, generated / real"),
    Measure("detected", "share of all frames in which the real face is not lost", 1.0, 1.0,
            "some generated frames hardly look like a face"),
)  # fmt: skip


def findings(scores: Scores) -> list[str]:
    """List what is not acceptable, a sentence each.

    Args:
        scores: from `evaluate_dub`.

    Returns:
        Nothing for a good dub.

    >>> findings({"lag_frames": 3, "frames_real": 9, "frames_generated": 9})
    ['lag_frames is 3, not -1 to 1: sound and lips are out of step']
    """
    found = [
        f"{measure.name} is {_number(value)}, not {measure.range}: {measure.remark}"
        for measure in MEASURES
        if (value := scores.get(measure.name)) is not None and not measure.accepts(value)
    ]
    real, generated = scores.get("frames_real"), scores.get("frames_generated")
    if real != generated:
        found.append(f"the generated video has {generated} frames, the real one {real}")
    return found


def to_markdown(scores: Scores, title: str = "Dub against the real footage") -> str:
    """Write the scores as a short Markdown report.

    Args:
        scores: from `evaluate_dub`.
        title: its heading.

    Returns:
        A table, then what is not acceptable.
    """
    rows = [
        f"| {measure.name} | {_number(scores.get(measure.name))} | {measure.range} "
        f"| {measure.meaning} |"
        for measure in MEASURES
    ]
    counts = ", ".join(f"{name} {scores[name]}" for name in scores if name.startswith("frames"))
    verdict = [f"- {line}" for line in findings(scores)] or ["Every figure is acceptable."]
    head = ["| measure | value | acceptable | meaning |", "| --- | ---: | --- | --- |"]
    return "\n".join([f"# {title}", "", *head, *rows, "", f"Frames: {counts}.", "", *verdict, ""])


def to_json(scores: Scores) -> str:
    """Write the scores as JSON; a figure that does not exist is null."""
    return json.dumps(dict(scores), indent=1) + "\n"


def _number(value: float | int | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
