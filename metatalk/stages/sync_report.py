"""What a judge said about the sync of a clip, in values, in words and as a picture."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from metatalk.evaluate.sync_plot import draw_sync
from metatalk.lipsync.judge import Judge
from metatalk.lipsync.judge_trial import REAL, Ranking, Telling, rank_versions
from metatalk.lipsync.sync_figures import SyncFigures, explain_offset
from metatalk.lipsync.sync_runs import LeftOut, SyncRun
from metatalk.lipsync.syncnet import WINDOW_FRAMES
from metatalk.lipsync.tracks import RATE

_LINE = 120  # letters of a title's line


@dataclass(frozen=True, eq=False)
class SyncReport:
    """What a judge says about a clip, and whether it can be believed there."""

    judge: Judge
    figures: SyncFigures  # of all runs
    runs: tuple[tuple[SyncRun, SyncFigures], ...]
    left_out: tuple[LeftOut, ...]
    telling: Telling | None  # None: too short to be checked
    max_p: float
    versions: dict[str, SyncFigures]  # of the tampered clip, where that was asked for
    lips: tuple[Tensor, ...] = ()  # (T, N) embeddings of every run
    sound: tuple[Tensor, ...] = ()  # (T, N)

    @property
    def ranking(self) -> Ranking | None:
        """Whether the tampered versions come out in the right order; None: not asked for."""
        return rank_versions(self.versions) if self.versions else None

    @property
    def is_trusted(self) -> bool | None:
        """Whether the judge knows this clip's own sound; None: the clip is too short to say."""
        if self.ranking is not None and not self.ranking.is_right:
            return False
        return None if self.telling is None else self.telling.p_value <= self.max_p

    @property
    def trust(self) -> str:
        """The same in words."""
        if self.ranking is not None and not self.ranking.is_right:
            return "not to be trusted on this clip: " + "; ".join(self.ranking.faults)
        if self.telling is None:
            return "not known: too little was judged to be held against shuffled sound"
        worse = self.telling.shuffles - self.telling.as_good
        found = (
            f"more confidence than with {worse} of {self.telling.shuffles} shuffles of the sound"
        )
        if not self.is_trusted:
            return f"not to be trusted on this clip: only {found}"
        return f"{found} (p = {self.telling.p_value:.2g})"

    def document(self) -> dict[str, Any]:
        """All of it in plain values; figures that are not to be trusted under `untrusted` alone."""
        record = self.judge.record
        known = f"taken for the official weights: sha256 {record.sha256}"
        found = self._figures(self.figures)
        verdict: dict[str, Any] = {
            **found,
            "runs": [self._run(run, figures) for run, figures in self.runs],
            "versions": {
                name: {**self._figures(figures), "at_real_offset": self._at_real(figures)}
                for name, figures in self.versions.items()
            },
        }
        if self.is_trusted is False:
            withheld: dict[str, Any] = {**dict.fromkeys(found), "runs": [], "versions": {}}
            verdict = {**withheld, "untrusted": verdict}
        return {
            "judge": f"{record.title} ({record.file}, "
            f"{'trained here' if self.judge.ours else known})",
            "judge_sha256": record.sha256,
            "terms": record.terms,
            "windows": self.figures.windows,
            "trusted": self.is_trusted,
            "trust": self.trust,
            "p_value": self.telling.p_value if self.telling else None,
            **verdict,
            "left_out": [vars(stretch) for stretch in self.left_out],
        }

    def _at_real(self, figures: SyncFigures) -> float:
        return round(figures.confidence_at(self.versions[REAL].offset_frames), 4)

    def _run(self, run: SyncRun, figures: SyncFigures) -> dict[str, Any]:
        times = {"shot": run.shot, "start_s": round(run.start_s, 3), "end_s": round(run.end_s, 3)}
        return {**times, **self._figures(figures), "windows": figures.windows}

    def _figures(self, figures: SyncFigures) -> dict[str, Any]:
        return {
            self.judge.distance_name: round(figures.distance, 4),
            self.judge.confidence_name: round(figures.confidence, 4),
            "offset_frames": figures.offset_frames,
            "offset_ms": figures.offset_ms,
            "offset": explain_offset(figures.offset_frames),
        }


def draw_report(report: SyncReport, title: str) -> np.ndarray:
    """Draw a report for the eye.

    Args:
        report: what the judge said.
        title: the clip's name.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    judge, figures = report.judge, report.figures
    spans, place = [], 0
    for run, own in report.runs:
        middles = (np.arange(own.windows) + WINDOW_FRAMES / 2) / RATE
        confidence = figures.frame_confidence[place : place + own.windows]
        spans.append((run.start_s + middles, confidence))
        place += own.windows
    found = f"{explain_offset(figures.offset_frames)} ({figures.offset_frames:+d} frames)"
    lines = [
        f"{title}: {'no verdict' if report.is_trusted is False else found}",
        f"{judge.distance_name} {figures.distance:.3f}, {judge.confidence_name} "
        f"{figures.confidence:.3f} by {judge.record.title} {judge.record.file}",
        textwrap.fill(report.trust, _LINE),
    ]
    return draw_sync(figures, spans, judge.star, "\n".join(lines))
