"""What somebody should look at in a result, and the lists of it that editing programs read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from metatalk.errors import MediaError
from metatalk.evaluate.doubts import DoubtRange, doubtful_ranges, judge_frames, rank_frames
from metatalk.evaluate.fit_curves import measure_curves
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.fitting.trust import Trust
from metatalk.interchange.markers import (
    Marker,
    Reel,
    write_avid_list,
    write_edl,
    write_resolve_edl,
    write_table,
)
from metatalk.interchange.ranges import clock_word
from metatalk.interchange.timecode import is_standard_rate, standard_rate
from metatalk.interchange.timelines import write_fcpxml, write_otio
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.timing import true_runs
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.output import written_aside

LOG = logging.getLogger(__name__)
MOST = 20  # markers: an editor looks at each
ENDINGS = (".edl", ".resolve.edl", ".fcpxml", ".otio", ".txt", ".csv")
_FILMED, _MORE_A_SECOND, _WORST = 1.5, 0.5, 3.0  # severity of a mouth that stays as it was filmed
_JUMP, _TURN, _SEGMENT = 1.5, 0.6, 0.3
_SLIGHT, _SLIGHT_FRAMES = 1.25, 3  # shorter doubts of less are not worth a look
_MERGE_S, _WIDEST_S = 0.5, 4.0  # markers of a kind nearer than this are one; with many, at most
_REASONS = 2  # that are told of a doubt

Part = tuple[int, int, str]  # first frame of the result, one past the last, and words


@dataclass(frozen=True, eq=False)
class FitDoubts:
    """What is doubtful about the fit of the footage; its frames are the footage's."""

    ranges: tuple[DoubtRange, ...] = ()
    badness: np.ndarray | None = None  # (T,) the worst severity; NaN where there is no face


@dataclass(frozen=True)
class Review:
    """What to look at, the gravest first."""

    markers: tuple[Marker, ...]
    left_out: int = 0  # slighter ones

    def rows(self, rate: float) -> list[tuple[str, str]]:
        """When and why, for the terminal.

        Args:
            rate: frames a second.
        """
        rows = [(_when(marker, rate), marker.line) for marker in self.markers]
        if self.left_out:
            rows.append(("", f"and {self.left_out} slighter ones, left out"))
        return rows


@dataclass(frozen=True, eq=False)
class Findings:
    """What is known of a result; all frames are the result's, but for those of the doubts."""

    frames: np.ndarray  # (N,) footage frame behind each
    strength: np.ndarray  # (N,) 1 shows the new face, 0 the filmed one, which needs no look
    fallbacks: Sequence[Part] = ()  # where the filmed mouth stays, and why
    segments: Sequence[Part] = ()  # the parts that were to be new, ramps left out
    doubts: FitDoubts = field(default_factory=FitDoubts)  # they matter under the new face
    jumps: Sequence[int] = ()  # frames before which the footage jumps
    turns: Sequence[int] = ()  # frames at which the footage turns back

    def __post_init__(self) -> None:
        count = check_shape("frames", self.frames, "N")
        check_shape("strength", self.strength, "N", **count)


def review_result(findings: Findings, rate: float, most: int = MOST) -> Review:
    """Choose what to look at.

    Args:
        findings: what is known of the result.
        rate: frames a second.
        most: how many markers, and how many segments besides.

    Returns:
        The markers: those of a kind that are near each other are one.
    """
    found = list(_markers(findings, rate))
    gap_s, merged = _MERGE_S, _merge(found, _MERGE_S * rate)
    while sum(one.kind != "segment" for one in merged) > most and gap_s < _WIDEST_S:
        gap_s *= 2
        merged = _merge(found, gap_s * rate)
    merged.sort(key=lambda marker: -_rank(marker, rate))
    # Where the new parts are is no complaint: they do not compete with what is to be mended.
    parts = [marker for marker in merged if marker.kind == "segment"]
    others = [marker for marker in merged if marker.kind != "segment"]
    kept = (*others[:most], *parts[:most])
    return Review(kept, len(merged) - len(kept))


def find_fit_doubts(root: Path, model: MorphableModel) -> FitDoubts:
    """Judge the fit of a clip that was taken apart.

    Args:
        root: the folder that holds its artefacts.
        model: the face model that it was fitted with.

    Returns:
        The doubts.
    """
    folder = ActorFolder(root)
    fit, index = folder.require("fit"), load_index(folder.require("ingest") / "frames.npz")
    landmarks = load_landmarks(folder.require("landmarks") / "landmarks.npz")
    person, track, camera = load_coefficients(fit / "coefficients.npz")
    with np.load(fit / "errors.npz", allow_pickle=False) as stored:
        errors = {name: stored[name] for name in stored.files}
    trust = Trust(track.confidence.numpy(), errors["colour_error"], errors["visible_share"])
    found = Reconstruction(person, track, camera, errors["landmark_error_mm"], trust)
    curves = measure_curves(model, found, landmarks, index.seconds(), float(index.rate))
    judgements = judge_frames(curves)
    return FitDoubts(tuple(doubtful_ranges(judgements, curves)), rank_frames(judgements))


def require_marker_names(paths: Iterable[Path]) -> None:
    """Check, before any work, that lists of markers end in a way that is known.

    Raises:
        MediaError: one does not.
    """
    for path in paths:
        if not path.name.lower().endswith(ENDINGS):
            raise MediaError(
                f"{path}: no list of markers is known by this ending", f"use {', '.join(ENDINGS)}"
            )


def write_markers(path: Path, markers: Sequence[Marker], reel: Reel) -> None:
    """Write a list of markers, of the kind that its ending names.

    Args:
        path: the file.
        markers: in any order.
        reel: the result that they belong to.

    Raises:
        MediaError: the ending is not known, or the disk refuses.
    """
    require_marker_names([path])
    name = path.name.lower()
    if name.endswith((".edl", ".txt")) and not is_standard_rate(reel.rate):
        LOG.warning(
            "%s: no edit list has %.3f frames a second; its time codes count %.3f and keep the "
            "times. An .otio or .fcpxml file keeps the frames",
            path, float(reel.rate), float(standard_rate(reel.rate)),
        )  # fmt: skip
    with disk_errors_remedied(path.parent), written_aside(path) as partial:
        partial.write_text(_worded(name, markers, reel), encoding="utf-8")


def _worded(name: str, markers: Sequence[Marker], reel: Reel) -> str:
    if name.endswith(".resolve.edl"):
        return write_resolve_edl(markers, reel)
    if name.endswith(".edl"):
        return write_edl(markers, reel)
    if name.endswith(".txt"):
        return write_avid_list(markers, reel)
    if name.endswith(".fcpxml"):
        return write_fcpxml(markers, reel)
    if name.endswith(".otio"):
        return write_otio(markers, reel)
    return write_table(markers, reel)


def _markers(found: Findings, rate: float) -> Iterator[Marker]:
    """A marker for each finding."""
    yield from _filmed_markers(found.fallbacks, rate)
    yield from _doubt_markers(found.doubts, found.frames, found.strength > 0)
    for frame in found.jumps:
        yield Marker(frame, frame + 1, "jump", "the footage jumps", _JUMP)
    for frame in found.turns:
        yield Marker(frame, frame + 1, "turn", "the footage turns back", _TURN)
    for first, end, words in found.segments:
        yield Marker(first, end, "segment", words or "new mouth", _SEGMENT)


def _filmed_markers(fallbacks: Iterable[Part], rate: float) -> Iterator[Marker]:
    for first, end, words in fallbacks:
        severity = min(_FILMED + _MORE_A_SECOND * (end - first) / rate, _WORST)
        yield Marker(first, end, "filmed", words or "the filmed mouth stays", severity)


def _doubt_markers(doubts: FitDoubts, frames: np.ndarray, shown: np.ndarray) -> Iterator[Marker]:
    """Doubts about footage frames wherever the result shows them with a new mouth."""
    if doubts.badness is None:
        return
    for doubt in doubts.ranges:
        inside = (frames >= doubt.first) & (frames < doubt.end) & shown
        words = "; ".join(reason.words for reason in doubt.reasons[:_REASONS])
        for first, end in true_runs(inside):
            worst = np.nan_to_num(doubts.badness[frames[first:end]], nan=_WORST).max()
            if worst >= _SLIGHT or end - first >= _SLIGHT_FRAMES:
                yield Marker(first, end, "fit", words, min(float(worst), _WORST))


def _merge(markers: Iterable[Marker], gap: float) -> list[Marker]:
    """Make one of markers of a kind with at most so many frames between them."""
    groups: list[list[Marker]] = []
    for marker in sorted(markers, key=lambda marker: (marker.kind, marker.first_frame)):
        last = groups[-1] if groups else []
        near = last and last[-1].kind == marker.kind
        if near and marker.first_frame - max(one.end_frame for one in last) <= gap:
            last.append(marker)
        else:
            groups.append([marker])
    return [_merged(group) for group in groups]


def _merged(group: Sequence[Marker]) -> Marker:
    """One marker over all of a group; the gravest gives its words."""
    worst = max(group, key=lambda marker: marker.severity)
    if len(group) == 1:
        return worst
    end, words = max(marker.end_frame for marker in group), worst.words
    if len({marker.words for marker in group}) > 1:
        words += f" (and {len(group) - 1} more)"
    return replace(worst, first_frame=group[0].first_frame, end_frame=end, words=words)


def _rank(marker: Marker, rate: float) -> float:
    """What is grave comes first, and of two as grave the longer one."""
    return marker.severity + 0.1 * min((marker.end_frame - marker.first_frame) / rate, 1.0)


def _when(marker: Marker, rate: float) -> str:
    frames = marker.end_frame - marker.first_frame
    place = f"{clock_word(marker.first_frame / rate)} frame {marker.first_frame}"
    return f"{place}-{marker.end_frame - 1}" if frames > 1 else place
