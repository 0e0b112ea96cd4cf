"""One clip of a prepared corpus: from the file to its track folders."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.errors import FittingError, MediaError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Detector, open_detector
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
from metatalk.lipsync.config import BOX_SMOOTH_S, FACE_MARGIN
from metatalk.lipsync.faces import face_boxes
from metatalk.lipsync.mel import SAMPLE_RATE, wav2lip_mel
from metatalk.lipsync.tracks import (
    INNER_PX,
    RATE,
    STORED_PX,
    Stretch,
    choose_stretches,
    cut_face,
    cut_sound,
    face_window,
    is_too_quiet,
)
from metatalk.media.audio import read_sound
from metatalk.media.picture import Picture
from metatalk.media.probe import VideoInfo, probe_video
from metatalk.media.video import read_pictures
from metatalk.stages.lipsync_corpus import TRACKS, Source
from metatalk.stages.lipsync_glimpses import GlimpsedFaces

LOG = logging.getLogger(__name__)
REVISION = 2  # goes up when equal clips give other tracks
_FASTEST = 120.0  # frames a second; more is a container's clock, not a rate
_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class Preparation:
    """What decides the tracks of a clip, besides the clip."""

    landmarks: LandmarksConfig = LandmarksConfig()
    min_seconds: float = 1.0  # shorter tracks are left out

    def settings(self) -> dict[str, Any]:
        """Plain values: corpora of different ones must not be mixed."""
        own = {
            "revision": REVISION,
            "min_seconds": self.min_seconds,
            "box_smooth_s": BOX_SMOOTH_S,
            "face_margin": FACE_MARGIN,
            "landmarks": asdict(self.landmarks),
        }
        return {"rate": RATE, "px": STORED_PX, "inner_px": INNER_PX, "preparation": own}


def prepare_clip(
    source: Source,
    corpus: Path,
    preparation: Preparation,
    report: Callable[[int], None] = lambda frames: None,
) -> Source:
    """Cut the talking faces of one clip, and their sound, into a corpus.

    Args:
        source: the clip: its name, path, digest, terms and split.
        corpus: the folder; the clip's own tracks there are made anew.
        preparation: how.
        report: told of each further frame that has been looked at.

    Returns:
        The clip with its tracks, or with the reason why there is none.

    Raises:
        OSError: the corpus cannot be written.
        MissingAssetError: the detector's package or weights are not there.
    """
    remove_tracks(corpus, source.digest)
    with _warnings_heard() as heard:
        try:
            info, samples = _open_clip(Path(source.path), preparation.min_seconds)
            done = _cut_tracks(
                replace(source, notes=()), corpus, preparation, info, samples, report
            )
        except (MediaError, FittingError) as fault:
            done = replace(source, error=_without(source.path, fault.problem))
    notes = (_without(source.path, message) for message in heard)
    return replace(done, notes=tuple(dict.fromkeys(notes)))


def _without(path: str, message: str) -> str:
    """A message that begins with a clip's path, without it."""
    return message.removeprefix(path).lstrip(": ")


def remove_tracks(corpus: Path, digest: str) -> None:
    """Remove the tracks of a clip, whole or not."""
    for folder in (corpus / TRACKS).glob(f"{digest[:12]}_*"):
        shutil.rmtree(folder, ignore_errors=True)


def _open_clip(path: Path, min_seconds: float) -> tuple[VideoInfo, np.ndarray]:
    """The clip's facts and its sound from the first picture on, (S,) at 16 kHz."""
    info = probe_video(path)
    if not info.has_audio:
        raise MediaError(f"{path}: it has no sound track")
    samples = read_sound(path, SAMPLE_RATE, from_first_frame=True).samples
    if is_too_quiet(samples):
        raise MediaError(f"{path}: its sound is silent")
    if len(samples) < min_seconds * SAMPLE_RATE:
        length_s = len(samples) / SAMPLE_RATE
        raise MediaError(f"{path}: its sound lasts {length_s:.2f} s, not {min_seconds:g} s")
    return info, samples


def _cut_tracks(
    source: Source,
    corpus: Path,
    preparation: Preparation,
    info: VideoInfo,
    samples: np.ndarray,
    report: Callable[[int], None],
) -> Source:
    path, rate = Path(source.path), min(float(info.rate), _FASTEST)

    def progress(done: int, total: int | None, note: str) -> None:
        report(1)

    with GlimpsedFaces(_ready_detector(preparation.landmarks), corpus) as glimpsed:
        pictures = glimpsed.pictures(read_pictures(path))
        track = track_landmarks(pictures, rate, preparation.landmarks, progress, glimpsed)
        seconds = _to_seconds(glimpsed.pts, info.time_base)
        boxes = _boxes(track, glimpsed.scale, rate)
        stretches, fault = choose_stretches(
            track.runs(), boxes, seconds, samples, preparation.min_seconds
        )
        if fault:
            raise MediaError(f"{path}: {fault}")
        frames = np.unique(np.concatenate([stretch.frames for stretch in stretches])).tolist()
        faces = _faces(path, frames, boxes, glimpsed)
        names = tuple(
            _write_track(source, corpus, number, stretch, boxes, samples, faces)
            for number, stretch in enumerate(stretches)
        )
    total = sum(len(stretch.frames) for stretch in stretches)
    return replace(source, tracks=names, frames=total, seconds=round(float(seconds[-1]), 3))


@functools.lru_cache(maxsize=1)
def _open_detector(config: LandmarksConfig) -> Detector:
    return open_detector(config)


def _ready_detector(config: LandmarksConfig) -> Detector:
    """A detector that knows nothing; to open one takes as long as a short clip."""
    detector = _open_detector(config)
    detector.reset()
    return detector


def _to_seconds(pts: list[int], time_base: Fraction) -> np.ndarray:
    ticks = np.array(pts, np.float64)
    return ticks * time_base.numerator / time_base.denominator


def _boxes(track: LandmarkTrack, scale: int, rate: float) -> np.ndarray:
    """(T, 4) boxes in pixels of the clip's own pictures."""
    boxes = face_boxes(track, smooth_frames=BOX_SMOOTH_S * rate, margin=FACE_MARGIN)
    return np.asarray(boxes * np.float32(scale))


def _faces(
    path: Path, frames: list[int], boxes: np.ndarray, glimpsed: GlimpsedFaces
) -> Iterator[np.ndarray]:
    """The faces of some frames, in order: those that were kept, else out of the clip again."""
    missed = [frame for frame in frames if not glimpsed.covers(frame, boxes[frame].tolist())]
    if not missed:
        return (glimpsed.cut(frame, boxes[frame].tolist()) for frame in frames)
    LOG.info("%s: decoded again, for the faces of %d frames", path, len(missed))
    wanted = set(frames)
    pictures = (picture for picture in read_pictures(path) if picture.index in wanted)
    return (_cut_picture(picture, boxes[picture.index]) for picture in pictures)


def _cut_picture(picture: Picture, box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = face_window(box.tolist())
    x0, y0 = min(max(left, 0), picture.width - 1), min(max(top, 0), picture.height - 1)
    x1, y1 = min(max(right, x0 + 1), picture.width), min(max(bottom, y0 + 1), picture.height)
    inside: np.ndarray = box - np.array([x0, y0, x0, y0], np.float32)
    return cut_face(picture.rgb((x0, y0, x1, y1)), inside.tolist())


def _write_track(
    source: Source,
    corpus: Path,
    number: int,
    stretch: Stretch,
    boxes: np.ndarray,
    samples: np.ndarray,
    faces: Iterator[np.ndarray],
) -> str:
    """Write one track's folder, whole or not at all; takes its own faces off the iterator."""
    name = f"{source.digest[:12]}_{number:02d}"
    partial = corpus / TRACKS / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shown, repeats = np.unique(stretch.frames, return_counts=True)
    _write_faces(partial / "faces.npy", islice(faces, len(shown)), repeats)
    sound = np.rint(cut_sound(samples, stretch) * 32767).astype("<i2")
    _write_wav(partial / "sound.wav", sound)
    np.save(partial / "mel.npy", wav2lip_mel(sound.astype(np.float32) / 32768))
    record = {
        "source": source.name,
        "digest": source.digest,
        "start_s": round(stretch.start_s, 6),
        "frames": len(stretch.frames),
        "terms": source.terms,
        "split": source.split,
        "face": number,
        "mean_box": np.mean(boxes[shown], axis=0).round(1).tolist(),
    }
    write_record(partial, record)
    partial.rename(corpus / TRACKS / name)
    return name


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write a track's `track.json`."""
    text = json.dumps(record, indent=1) + "\n"
    (folder / "track.json").write_text(text, encoding="utf-8")


def _write_faces(path: Path, faces: Iterator[np.ndarray], repeats: np.ndarray) -> None:
    """Write faces as an array that NumPy maps, each as often as it is shown.

    Bytes are written in order and not into a mapped file, where a full disk kills the process.
    """
    shape = (int(repeats.sum()), STORED_PX, STORED_PX, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for face, times in zip(faces, repeats.tolist(), strict=True):
            for _ in range(times):
                file.write(face.tobytes())


def _write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(_BYTES_PER_SAMPLE)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextmanager
def _warnings_heard() -> Iterator[list[str]]:
    """What metatalk warns of meanwhile."""
    listener, logger = _Listener(), logging.getLogger("metatalk")
    logger.addHandler(listener)
    try:
        yield listener.heard
    finally:
        logger.removeHandler(listener)
