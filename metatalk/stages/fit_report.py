"""What there is to know about a fit: a film, curves, the worst frames, and which to distrust."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.config import Config
from metatalk.evaluate.doubts import (
    DoubtRange,
    Judgement,
    doubtful_ranges,
    judge_frames,
    rank_frames,
    worst_frames,
    worst_words,
)
from metatalk.evaluate.fit_curves import FitCurves, measure_curves
from metatalk.evaluate.fit_errors_footage import measure_footage
from metatalk.evaluate.fit_sheet import draw_sheet, lay_out_frames
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.fitting.trust import Trust
from metatalk.interchange.timecode import frame_timecode
from metatalk.landmarks.track import LandmarkTrack
from metatalk.media.stills import write_png
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.render.overlay import FacePainter
from metatalk.stages.artefacts import load_fit_errors, load_index, load_landmarks
from metatalk.stages.face_model import open_face_model
from metatalk.stages.fit import FILE
from metatalk.stages.fit_film import (
    FittedClip,
    Label,
    Tile,
    plan_overlay,
    plan_panels,
    watch_clip,
)
from metatalk.stages.stage import Progress, ProgressFactory, silent_progress
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.manifest import write_json

FOLDER = "report"  # in the actor's folder, beside the artefacts, which are not to change
OVERLAY, PANELS = "overlay.mp4", "panels.mp4"
WORST, APART_S, COLUMNS = 20, 0.12, 4  # frames on the sheet, between them, beside each other


@dataclass(frozen=True)
class ReportOrder:
    """What is wanted beside the curves and the list."""

    overlay: bool = True
    panels: bool = False
    worst: int = WORST


@dataclass(frozen=True)
class FitReport:
    """What was found; `document` is all of it, as it is written as JSON."""

    files: tuple[Path, ...]
    doubts: tuple[tuple[str, str], ...]  # when, and why
    document: dict[str, Any]


def report_fit(
    actor: Path,
    clip: Path,
    config: Config,
    order: ReportOrder | None = None,
    progress_factory: ProgressFactory = silent_progress,
) -> FitReport:
    """Judge the fit in an actor's folder and write what there is to see of it.

    Args:
        actor: the folder, with its stages up to fit finished.
        clip: the footage that was fitted.
        config: the settings it was fitted with.
        order: what is wanted.
        progress_factory: who is told how far it is.

    Returns:
        The report; its files lie in the folder `report`.

    Raises:
        MissingAssetError: there is no finished fit.
        MediaError: the clip cannot be read, or a film not written.
    """
    order, folder, out = order or ReportOrder(), ActorFolder(actor), actor / FOLDER
    with disk_errors_remedied(out), folder.lock(shared=True), progress_factory("report") as told:
        out.mkdir(parents=True, exist_ok=True)
        _drop_outdated(out, folder.require("fit") / FILE)
        return _report(_open(folder, clip, config), out, order, told)


def _drop_outdated(out: Path, fitted: Path) -> None:
    """Remove films of an earlier fit: they must not pass for films of this one."""
    for film in (out / OVERLAY, out / PANELS):
        if film.is_file() and film.stat().st_mtime_ns < fitted.stat().st_mtime_ns:
            film.unlink()


@dataclass(frozen=True, eq=False)
class _Case:
    """All that is known about a fit."""

    model: MorphableModel
    found: Reconstruction
    landmarks: LandmarkTrack
    index: FrameIndex
    clip: Path
    backend: str
    curves: FitCurves
    judgements: Sequence[Judgement]
    ranges: Sequence[DoubtRange]

    @property
    def fitted(self) -> FittedClip:
        painter = FacePainter(self.model, self.found.person, self.found.camera, self.backend)
        return FittedClip(self.clip, self.index, self.landmarks, self.found.track, painter)

    @property
    def doubtful(self) -> np.ndarray:
        """(T,) bool: frames in any range."""
        inside = np.zeros(len(self.curves), bool)
        for doubt in self.ranges:
            inside[doubt.first : doubt.end] = True
        return inside


def _open(folder: ActorFolder, clip: Path, config: Config) -> _Case:
    fit = folder.require("fit")
    index = load_index(folder.require("ingest") / "frames.npz")
    landmarks = load_landmarks(folder.require("landmarks") / "landmarks.npz")
    model = open_face_model(config.fit.face_model, config.landmarks)
    found = _load_fit(fit)
    curves = measure_curves(model, found, landmarks, index.seconds(), float(index.rate))
    judgements = judge_frames(curves)
    ranges = doubtful_ranges(judgements, curves)
    backend = config.render.backend
    return _Case(model, found, landmarks, index, clip, backend, curves, judgements, ranges)


def _load_fit(fit: Path) -> Reconstruction:
    person, track, camera = load_coefficients(fit / FILE)
    errors = load_fit_errors(fit / "errors.npz")
    trust = Trust(track.confidence.numpy(), errors["colour_error"], errors["visible_share"])
    return Reconstruction(person, track, camera, errors["landmark_error_mm"], trust)


def _report(case: _Case, out: Path, order: ReportOrder, progress: Progress) -> FitReport:
    badness = rank_frames(case.judgements)
    worst = worst_frames(badness, order.worst, max(1, round(APART_S * case.curves.rate)))
    films, label, fitted = [], _label(case), case.fitted
    if order.overlay:
        films.append(plan_overlay(fitted, out / OVERLAY, label))
    if order.panels:
        films.append(plan_panels(fitted, out / PANELS, label))
    started = time.monotonic()
    tiles = watch_clip(fitted, films, worst, progress)
    seconds = time.monotonic() - started
    write_png(out / "worst_frames.png", _worst_sheet(case, tiles, worst))
    write_png(out / "fit_sheet.png", draw_sheet(case.curves, case.doubtful, _title(case)))
    document = _document(case, worst)
    write_json(out / "fit_report.json", document)
    if films:
        document["films_fps"] = len(case.curves) / max(seconds, 1e-6)
    names = ("fit_sheet.png", "worst_frames.png", "fit_report.json")
    files = (*(film.path for film in films), *(out / name for name in names))
    doubts = tuple((_when(case, doubt), doubt.words) for doubt in case.ranges)
    return FitReport(files, doubts, document)


def _label(case: _Case) -> Label:
    """What is written on a frame: its number, time and error, and the worst doubt about it."""
    curves, doubtful = case.curves, case.doubtful

    def label(frame: int) -> tuple[list[str], bool]:
        error = curves.error_mm[frame]
        lines = [f"frame {frame}  {_clock(curves.seconds[frame])}"]
        if math.isfinite(error):
            lines[0] += f"  {error:.1f} mm"
        if doubtful[frame]:
            lines.append(worst_words(case.judgements, frame))
        return lines, bool(doubtful[frame])

    return label


def _worst_sheet(case: _Case, tiles: Sequence[Tile], order: Sequence[int]) -> np.ndarray:
    by_frame = {tile.frame: tile.picture for tile in tiles}
    frames = [frame for frame in order if frame in by_frame]
    captions = [
        [
            f"frame {frame}  {_clock(case.curves.seconds[frame])}  "
            f"{case.curves.error_mm[frame]:.1f} mm",
            worst_words(case.judgements, frame),
        ]
        for frame in frames
    ]
    return lay_out_frames([by_frame[frame] for frame in frames], captions, COLUMNS)


def _title(case: _Case) -> str:
    camera, frames = case.found.camera, len(case.curves)
    share = 100 * case.doubtful.mean()
    return (
        f"{case.clip.name}: {frames} frames, {case.curves.rate:g} a second, focal length "
        f"{camera.focal_px:.0f} px at {camera.width} x {camera.height}, "
        f"{share:.0f} % of the frames to distrust"
    )


def _document(case: _Case, worst: Sequence[int]) -> dict[str, Any]:
    errors = measure_footage(case.model, case.found, case.landmarks)
    error_mm = case.curves.error_mm
    return _plain(
        {
            "clip": case.clip.name,
            "face_model": case.model.source,
            "frames": len(case.curves),
            "fps": float(case.index.rate),
            "doubtful_frames": int(case.doubtful.sum()),
            "summary": {
                **errors.as_dict(),
                "landmark_error_mm": float(np.nanmean(error_mm)),
                "worst_error_mm": float(np.nanmax(error_mm)),
                "focal_px": case.found.camera.focal_px,
            },
            "doubts": [_entry(case, doubt) for doubt in case.ranges],
            "worst_frames": [
                {"frame": frame, "time_s": case.curves.seconds[frame], "error_mm": error_mm[frame]}
                for frame in worst
            ],
        }
    )


def _entry(case: _Case, doubt: DoubtRange) -> dict[str, Any]:
    last = doubt.end - 1
    return {
        "first_frame": doubt.first,
        "last_frame": last,
        "frames": doubt.end - doubt.first,
        "from_s": case.curves.seconds[doubt.first],
        "to_s": case.curves.seconds[last],
        "from_timecode": _timecode(case, doubt.first),
        "to_timecode": _timecode(case, last),
        "reasons": [
            {"kind": r.kind, "words": r.words, "frames": r.frames, "worst_frame": r.worst_frame}
            for r in doubt.reasons
        ],
    }


def _timecode(case: _Case, frame: int) -> str:
    """From the clip's first frame, as in exported curves."""
    rate = case.index.rate
    return frame_timecode(Fraction(round(case.index.time(frame) * rate)), rate)


def _when(case: _Case, doubt: DoubtRange) -> str:
    last, seconds = doubt.end - 1, case.curves.seconds
    frames = f"frames {doubt.first}-{last}" if last > doubt.first else f"frame {doubt.first}"
    return f"{_clock(seconds[doubt.first])} {frames}"


def _clock(seconds: float) -> str:
    """Minutes and seconds: 2:04.48."""
    minutes, rest = divmod(round(100 * float(seconds)), 6000)
    return f"{minutes}:{rest / 100:05.2f}"


def _plain(value: Any) -> Any:
    """As JSON can hold it: a number that does not exist is null."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
