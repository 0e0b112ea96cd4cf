"""How far the footage's sound lies from its picture, told from the footage itself.

The sign, in words: a positive offset means that the sound comes late, a negative one that it
comes early. What a frame at second t shows is heard at second t + offset.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from metatalk.a2e.sync_trial import SyncTrial, find_peaks
from metatalk.errors import FittingError

if TYPE_CHECKING:
    from metatalk.a2e.footage import Footage

log = logging.getLogger(__name__)

Verdict = Literal["measured", "doubtful", "unknown", "unrelated"]

_NATURAL_LEAD_S = 0.04  # lips move this long before their sound where both are in sync
_DISPLACED = 6  # comparisons with the mouth of other moments
_DRAWS = 200
_AGREE_S = 0.04  # draws this near to the answer agree with it
_LEAST_BLOCKS = 3
_SURE = 0.85  # share of draws that must agree,
_LEAST_EVIDENCE = 2.0  # deviations above the fit of other moments,
_LARGEST_ERROR_S = 0.025  # and error, for an offset to be believed
_ENOUGH_S = 10.0  # of speech; in less, strange sound was seen to fit almost as well
_UNSURE = 0.75  # below this share, and below that evidence, sound and mouth have nothing in common
_UNRELATED_S = 15.0  # of speech from which that can be said,
_REFUSED_S = 30.0  # and from which it is sure enough to stop
_UNSEEN_S = 0.045  # nobody sees less (ITU-R BT.1359: 45 ms early, 125 late): it is left as it is


@dataclass(frozen=True)
class OffsetReport:
    """What was found about the footage's sync."""

    offset_s: float = 0.0  # positive: the sound comes late; 0 unless measured or doubtful
    error_s: float = float("inf")  # standard error, from drawing the footage's blocks again
    confidence: float = 0.0  # 0 to 1: share of those draws that agree within 40 ms
    evidence: float = 0.0  # deviations by which the sound fits its own moment better than others
    heard_s: float = 0.0  # seconds that were compared
    verdict: Verdict = "unknown"
    corrected_s: float = 0.0  # by which the frames were moved

    def metrics(self) -> dict[str, float]:
        """What was found, what of it is corrected, and how sure it is, as a flat record."""
        found_s = self.offset_s if self.verdict == "measured" else 0.0
        return {
            "offset_ms": 1000 * found_s,
            "offset_corrected_ms": 1000 * self.corrected_s,
            "offset_confidence": self.confidence,
        }


def correct_offset(
    footage: Footage, offset_s: float | None = None, speech: np.ndarray | None = None
) -> tuple[Footage, OffsetReport]:
    """Bring picture and sound of footage together, so that what is learned from it is in sync.

    Args:
        footage: sound and mouth, as filmed.
        offset_s: how late the sound is known to come; none: it is measured.
        speech: (M,) probability of speech, from `hear_speech`; none: all of the sound is compared.

    Returns:
        The footage with its frames where they are heard, and what was found. Where nothing can
        be measured, or where the offset is too small to be seen, the footage is unchanged.

    Raises:
        FittingError: the sound of half a minute of speech or more has nothing to do with the
            mouth.
    """
    if offset_s is not None:
        given = OffsetReport(offset_s, 0.0, 1.0, float("inf"), verdict="measured")
        return _corrected(footage, given)
    report = measure_offset(footage, speech)
    if report.verdict == "measured":
        if abs(report.offset_s) < _UNSEEN_S:
            return footage, report
        log.info("the footage's sound comes %s: corrected for learning", _in_words(report))
        return _corrected(footage, report)
    if report.verdict == "unrelated":
        _complain(report)
    elif report.verdict == "doubtful":
        log.warning(
            "the footage's sound seems to come %s, but %.0f s of speech are too few to be sure: "
            "taken for in sync. If it is so, give a2e.offset_s=%.3f",
            *(_in_words(report), report.heard_s, report.offset_s),
        )
    else:
        log.warning(
            "whether the footage's sound is in sync could not be measured: taken for in sync. "
            "Give a2e.offset_s where it is known not to be"
        )
    return footage, report


def measure_offset(footage: Footage, speech: np.ndarray | None = None) -> OffsetReport:
    """Measure how late the footage's sound comes, by where it foretells the mouth best.

    At every lag up to 0.45 s a small regression learns the mouth from the sound of a single
    moment, and is asked for blocks it has not seen. Context would tell more about the mouth
    and less about the lag: a window around the sound can make up for a shift.

    Lips move ahead of the sound they make. What counts as no offset is the lead that was found
    in footage known to be in sync, 34 to 57 ms, not a lag of zero.

    Args:
        footage: sound and mouth.
        speech: (M,) probability of speech, from `hear_speech`; none: all of the sound is compared.

    Returns:
        The offset, how sure it is, and the verdict: `measured`; `doubtful`, where an offset that
        would be seen rests on less than ten seconds of speech; `unknown`, where too little is
        said or moves; `unrelated`, where there is enough and it does not fit.
    """
    trial = SyncTrial.prepare(footage, speech)
    heard_s = trial.heard_s
    if trial.blocks < _LEAST_BLOCKS or not trial.moves:
        return OffsetReport(heard_s=heard_s)
    generator = np.random.default_rng(0)
    errors, sizes = trial.held_out_errors()
    [lag_s], [height] = find_peaks(errors.sum(axis=1)[None], sizes.sum(axis=1)[None])
    drawn = generator.integers(0, trial.blocks, (_DRAWS, trial.blocks))
    lags_s, _ = find_peaks(*(part[:, drawn].sum(axis=2).swapaxes(0, 1) for part in (errors, sizes)))
    confidence = float((np.abs(lags_s - lag_s) < _AGREE_S).mean())
    # Half the distance of the 16th and 84th percentile: a stray draw is not an error.
    error_s = float(np.diff(np.percentile(lags_s, (16, 84)))[0] / 2)
    others = trial.displaced_heights(_DISPLACED)
    evidence = float((height - others.mean()) / max(others.std(ddof=1), 0.01))
    if confidence >= _SURE and evidence >= _LEAST_EVIDENCE and error_s <= _LARGEST_ERROR_S:
        offset_s = -(float(lag_s) + _NATURAL_LEAD_S)
        enough = heard_s >= _ENOUGH_S or abs(offset_s) < _UNSEEN_S
        found: Verdict = "measured" if enough else "doubtful"
        return OffsetReport(offset_s, error_s, confidence, evidence, heard_s, found)
    foreign = confidence < _UNSURE and evidence < _LEAST_EVIDENCE and heard_s >= _UNRELATED_S
    verdict: Verdict = "unrelated" if foreign else "unknown"
    return OffsetReport(0.0, error_s, confidence, evidence, heard_s, verdict)


def _corrected(footage: Footage, report: OffsetReport) -> tuple[Footage, OffsetReport]:
    moved = replace(footage, frame_seconds=footage.frame_seconds + report.offset_s)
    return moved, replace(report, corrected_s=report.offset_s)


def _in_words(report: OffsetReport) -> str:
    direction = "late" if report.offset_s > 0 else "early"
    milliseconds, error = 1000 * abs(report.offset_s), 1000 * report.error_s
    return f"{milliseconds:.0f} ms {direction} (+- {error:.0f})"


def _complain(report: OffsetReport) -> None:
    """Stop where the sound is surely foreign; warn where the footage is short."""
    problem = (
        f"in {report.heard_s:.0f} s of speech the footage's sound has nothing to do with the mouth"
    )
    remedy = (
        "Give the clip its own sound, at most 0.4 s off; if it is its own, for instance under "
        "music, set a2e.offset_s=0."
    )
    if report.heard_s >= _REFUSED_S:
        raise FittingError(problem, remedy)
    log.warning("%s: the model will be poor. %s", problem, remedy)
