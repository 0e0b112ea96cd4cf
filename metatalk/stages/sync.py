"""Judge the sync of a clip: watch it once for the face and once for the mouth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import MediaError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
from metatalk.lipsync.judge import Judge, open_judge
from metatalk.lipsync.judge_trial import (
    FROZEN,
    freeze_mouth,
    sound_versions,
    tell_from_shuffled,
)
from metatalk.lipsync.judged_faces import cut_judged, judged_boxes, judged_places
from metatalk.lipsync.sync_config import SyncConfig
from metatalk.lipsync.sync_figures import (
    SyncFigures,
    count_windows,
    figures_of_rows,
)
from metatalk.lipsync.sync_runs import SyncRun, first_seconds, is_silent, plan_runs
from metatalk.media.audio import read_sound
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.stills import write_png
from metatalk.media.video import index_frames, read_pictures
from metatalk.stages.device import choose_device
from metatalk.stages.stage import Progress, ProgressFactory, silent_progress
from metatalk.stages.sync_report import SyncReport, draw_report
from metatalk.timing import FrameIndex


@dataclass(frozen=True, eq=False)
class WatchedClip:
    """A clip in which the face was found."""

    clip: Path
    index: FrameIndex
    track: LandmarkTrack
    samples: np.ndarray  # (S,) sound at 16 kHz from the first frame on


def judge_clip(
    clip: Path,
    config: SyncConfig,
    landmarks: LandmarksConfig,
    device: str = "auto",
    check: bool = False,
    plot: Path | None = None,
    progress_factory: ProgressFactory = silent_progress,
) -> SyncReport:
    """Judge the sync of a clip.

    Args:
        clip: a video with sound in which somebody speaks.
        config: which judge, and how.
        landmarks: how the face is found.
        device: auto, cpu or cuda.
        check: also judge the clip with its sound displaced and shuffled and its mouth frozen.
        plot: where to write a picture of the figures; None: nowhere.
        progress_factory: who is told how far it is.

    Returns:
        The report.

    Raises:
        MissingAssetError: there is no judge.
        MediaError: no sound, silence, or no two seconds of a face that is heard.
        FittingError: there is no face.
    """
    judge = open_configured_judge(config, device)
    watched = watch_clip(clip, landmarks, progress_factory)
    report = judge_watched(watched, judge, config, check, 0.0, progress_factory)
    if plot is not None:
        write_png(plot, draw_report(report, clip.name))
    return report


def open_configured_judge(config: SyncConfig, device: str = "auto") -> Judge:
    """Open the judge that the settings name.

    Raises:
        MissingAssetError: they name none, or there is no such file or device.
        ConfigError: the file holds something else.
    """
    path = Path(config.judge).expanduser() if config.judge else None
    dtype = torch.bfloat16 if config.precision == "mixed" else torch.float32
    return open_judge(path, choose_device(device), dtype, config.batch)


def watch_clip(
    clip: Path, config: LandmarksConfig, progress_factory: ProgressFactory = silent_progress
) -> WatchedClip:
    """Find the face in a clip and read its sound.

    Args:
        clip: a video with sound.
        config: how the face is found.
        progress_factory: who is told how far it is.

    Raises:
        MediaError: the clip cannot be read, or there is nothing to be heard in it.
        FittingError: there is no face.
    """
    samples = read_sound(clip, from_first_frame=True).samples
    if is_silent(samples):
        raise MediaError(
            f"{clip}: the sound is silent: sync cannot be judged", "give a clip of speech"
        )
    with progress_factory("frames") as progress:
        index = index_frames(clip, progress)
    with progress_factory("landmarks") as progress:

        def report(done: int, total: int | None, note: str) -> None:
            progress(done, total or len(index), note)

        pictures = (picture.rgb() for picture in read_pictures(clip))
        track = track_landmarks(pictures, float(index.rate), config, report)
    return WatchedClip(clip, index, track, samples)


def judge_watched(
    watched: WatchedClip,
    judge: Judge,
    config: SyncConfig,
    check: bool = False,
    from_s: float = 0.0,
    progress_factory: ProgressFactory = silent_progress,
    most_s: float = math.inf,
) -> SyncReport:
    """Judge a clip in which the face was found.

    Args:
        watched: the clip.
        judge: who judges.
        config: how sure it must be.
        check: also judge tampered versions.
        from_s: judge the clip from there on, seconds.
        progress_factory: who is told how far it is.
        most_s: of what can be judged only so many seconds are.

    Returns:
        The report. All runs are judged by the mean over the windows of all of them.

    Raises:
        MediaError: no two seconds of a face that is heard.
    """
    rate, seconds = float(watched.index.rate), watched.index.seconds()
    runs, left_out = plan_runs(watched.track, seconds, rate, watched.samples, from_s)
    if not runs:
        reasons = ", ".join(dict.fromkeys(stretch.reason for stretch in left_out))
        raise MediaError(
            f"{watched.clip}: sync cannot be judged ({reasons or 'nothing left to judge'})",
            "give a clip that shows a speaking face for at least two seconds without a cut",
        )
    runs = first_seconds(runs, most_s)
    with progress_factory("judge") as progress:
        lips = list(_embed_lips(watched, judge, runs, progress))
    sound = [_embed_sound(judge, watched.samples[run.sound], len(run.frames)) for run in runs]
    lips = [seen[: len(heard)] for seen, heard in zip(lips, sound, strict=True)]
    rows = [judge.compare(*pair) for pair in zip(lips, sound, strict=True)]
    rng = np.random.default_rng(0)
    return SyncReport(
        judge=judge,
        figures=figures_of_rows(rows),
        runs=tuple(zip(runs, [figures_of_rows([each]) for each in rows], strict=True)),
        left_out=tuple(left_out),
        telling=tell_from_shuffled(judge.compare, lips, sound, config.shuffles, rng),
        max_p=config.max_p,
        versions=_judge_versions(watched, judge, runs, lips, sound) if check else {},
        lips=tuple(lips),
        sound=tuple(sound),
    )


def _embed_lips(
    watched: WatchedClip,
    judge: Judge,
    runs: Sequence[SyncRun],
    progress: Progress,
    freeze: bool = False,
) -> Iterator[Tensor]:
    """Lips of every run, from one pass over the pictures."""
    faces = _faces(watched, judge, runs, progress)
    for run in runs:
        own = islice(faces, len(run.frames))
        yield judge.embed_lips(freeze_mouth(own) if freeze else own)


def _faces(
    watched: WatchedClip, judge: Judge, runs: Sequence[SyncRun], progress: Progress
) -> Iterator[np.ndarray]:
    """Faces of all runs as the judge wants them, one after the other."""
    frames = np.concatenate([run.frames for run in runs]).tolist()
    pictures = read_pictures_in_order(watched.clip, frames, watched.index)
    boxes = judged_boxes(judge, watched.track, float(watched.index.rate))
    places = np.concatenate([judged_places(judge, boxes[run.frames]) for run in runs])
    for done, (picture, place) in enumerate(zip(pictures, places, strict=True), 1):
        yield cut_judged(judge, picture.rgb(), place)
        progress(done, len(frames))


def _embed_sound(judge: Judge, samples: np.ndarray, frames: int) -> Tensor:
    return judge.embed_sound(samples, count_windows(frames, len(samples)))


def _judge_versions(
    watched: WatchedClip,
    judge: Judge,
    runs: Sequence[SyncRun],
    lips: Sequence[Tensor],
    sound: Sequence[Tensor],
) -> dict[str, SyncFigures]:
    """The figures of the clip and of its tampered versions, by name."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[Tensor]] = {}
    for run, seen in zip(runs, lips, strict=True):
        for name, heard in sound_versions(watched.samples[run.sound], rng).items():
            embedded = judge.embed_sound(heard, len(seen))
            rows.setdefault(name, []).append(judge.compare(seen, embedded))
    frozen = _embed_lips(watched, judge, runs, lambda *_: None, freeze=True)
    rows[FROZEN] = [
        judge.compare(seen[: len(heard)], heard) for seen, heard in zip(frozen, sound, strict=True)
    ]
    return {name: figures_of_rows(each) for name, each in rows.items()}
