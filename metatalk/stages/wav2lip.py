"""Wav2Lip: anybody's film and a recording become a film of them saying it; nothing is learned."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from metatalk.compose.ahead import WriteBehind, read_ahead
from metatalk.compose.fallback.presence import presence
from metatalk.compose.retiming.plan import FramePlan, plan_frames
from metatalk.config import Config
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
from metatalk.lipsync.checkpoints import KINDS, load_network
from metatalk.lipsync.mel import wav2lip_mel
from metatalk.lipsync.speaking import (
    FacePlan,
    gather_references,
    mel_starts,
    plan_faces,
    redraw_faces,
)
from metatalk.lipsync.wav2lip import Redrawer, Wav2Lip, prepare_redrawer
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.media.audio import audio_duration, read_sound
from metatalk.media.clip_sound import align_sound
from metatalk.media.codecs import SEQUENCES, require_fitting
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.video import index_frames, read_pictures
from metatalk.precision import choose_precision
from metatalk.stages.device import choose_device
from metatalk.stages.provenance import own_entry, write_result_ledger
from metatalk.stages.result_video import ResultWriter, open_result
from metatalk.stages.stage import STAGE_NAMES, Progress, ProgressFactory, silent_progress
from metatalk.stages.terms import landmark_model_entry, require_commercial, wav2lip_entry
from metatalk.timing import FrameIndex, true_runs
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.consent import Consent, footage_entry
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import require_apart, require_output, require_output_folder

LOG = logging.getLogger(__name__)
WAITING = 4  # decoded and finished pictures that may wait on either side of the network
_RANGES_SAID = 12  # stretches without a face that are listed one by one


@dataclass(frozen=True, eq=False)
class Take:
    """One result before it is drawn."""

    clip: Path
    index: FrameIndex
    shown: FramePlan
    faces: FacePlan


def redraw_video(
    clip: Path,
    audio: Path,
    output: Path,
    config: Config,
    settings: Wav2LipConfig,
    consent: Consent | None = None,
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Make the face in a film say a recording, by a Wav2Lip generator.

    Args:
        clip: a film, or a picture, which is then held.
        audio: the recording; any audio or video file. Sound of the film's own file begins with
            its first picture, that of others with its first sample.
        output: the video to write, or the folder of numbered pictures.
        config: landmarks, encoding (`drive.crf`, `drive.encoder_preset`, `drive.length`,
            `drive.fade_frames`), device and `commercial_safe`.
        settings: the checkpoint, and how it is used.
        consent: of the person shown, or None.
        progress_factory: who is told how far the work is.

    Returns:
        Frames, seconds, frames a second, frames without a face and where they are.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    checkpoint = require_checkpoint(settings)
    require_fitting(output, config.drive.delivery.format)
    entries = _entries(clip, audio, checkpoint, config, consent)
    if config.commercial_safe:  # before the output's folder is made
        require_commercial(entries)
    if config.drive.delivery.format in SEQUENCES:
        require_output_folder(output, [clip, audio, checkpoint])
    else:
        require_output(output, [clip, audio, checkpoint])
    require_apart(output, STAGE_NAMES)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, disk_errors_remedied(output.parent):
        index = index_frames(clip)
        sound = _own_sound(clip, audio, index, Path(scratch))
        shown = plan_frames(index, audio_duration(sound), config.drive.length)
        redrawer = open_redrawer(checkpoint, settings, config.device)
        take = plan_take(clip, index, shown, config, settings, progress_factory)
        opened = open_result(output, clip, index.rate, shown, sound, config.drive)
        with progress_factory("wav2lip") as progress, opened as writer:
            _stream(take, sound, redrawer, writer, settings, progress)
        write_result_ledger(output, entries)
    seconds = time.monotonic() - started
    missing = take.faces.strength[shown.frames] == 0
    _warn_of_missing(missing, shown)
    return {
        "output": str(output),
        "frames": len(shown),
        "duration_s": float(shown.seconds()[-1] + 1 / index.rate),
        "faceless_frames": int(missing.sum()),
        "faceless": ", ".join(f"{first}-{last}" for first, last in _ranges(missing)),
        "seconds": seconds,
        "fps": len(shown) / max(seconds, 1e-6),
    }


def require_checkpoint(settings: Wav2LipConfig) -> Path:
    """The checkpoint's path.

    Raises:
        ConfigError: none is given.
        MissingAssetError: it is not there.
    """
    if not settings.checkpoint:
        raise ConfigError(
            "no Wav2Lip weights are given",
            "add --checkpoint FILE: wav2lip.pth or wav2lip_gan.pth as published, or weights "
            "trained with tools/train_wav2lip.py",
        )
    path = Path(settings.checkpoint)
    if not path.is_file():
        raise MissingAssetError(
            f"there is no Wav2Lip generator checkpoint at {path}",
            f"correct --checkpoint; {KINDS[Wav2Lip].terms}",
        )
    return path


def open_redrawer(checkpoint: Path, settings: Wav2LipConfig, device: str) -> Redrawer:
    """Load a generator and make it ready.

    Args:
        checkpoint: its weights.
        settings: in which arithmetic, and how many faces at a time.
        device: auto, cpu or cuda.

    Returns:
        The redrawer.

    Raises:
        MissingAssetError: no such file, no weights in it, or no such device.
        ConfigError: weights of something else.
    """
    generator, _ = load_network(Wav2Lip, checkpoint)
    place = choose_device(device)
    formats = {"auto": choose_precision(place), "full": torch.float32, "mixed": torch.bfloat16}
    return prepare_redrawer(generator, place, formats[settings.precision], settings.batch)


def plan_take(
    clip: Path,
    index: FrameIndex,
    shown: FramePlan,
    config: Config,
    settings: Wav2LipConfig,
    progress_factory: ProgressFactory = silent_progress,
) -> Take:
    """Follow the face through as much of the film as is shown, and plan its redrawing.

    Args:
        clip: the film.
        index: its frames.
        shown: which of them are shown when.
        config: of the landmarks, and `drive.fade_frames`.
        settings: how the face is redrawn.
        progress_factory: who is told how far it is.

    Returns:
        The plan.

    Raises:
        FittingError: no frame has a face.
    """
    count = int(shown.frames.max()) + 1
    with progress_factory("landmarks") as progress:
        track = _track(clip, count, float(index.rate), config, progress)
    strength = presence(track.has_face, track.shots, config.drive.fade_frames)
    return Take(clip, index, shown, plan_faces(track, float(index.rate), settings, strength))


def _track(
    clip: Path, count: int, rate: float, config: Config, progress: Progress
) -> LandmarkTrack:
    def report(done: int, total: int | None, note: str) -> None:
        del total
        progress(done, count, note)

    pictures = islice(read_ahead(read_pictures(clip), WAITING), count)
    return track_landmarks((p.rgb() for p in pictures), rate, config.landmarks, report)


def _entries(
    clip: Path, audio: Path, checkpoint: Path, config: Config, consent: Consent | None
) -> list[Entry]:
    footage = footage_entry(clip, digest_file(clip), consent, date.today())
    landmarks = landmark_model_entry(config.landmarks.detector)
    return [footage, wav2lip_entry(checkpoint), landmarks, own_entry("speech", audio)]


def _own_sound(clip: Path, audio: Path, index: FrameIndex, scratch: Path) -> Path:
    """The recording; of the film's own file, the part that is heard with the picture."""
    if not audio.samefile(clip):
        return audio
    return align_sound(clip, index.exact_duration, scratch / "sound.flac") or audio


def _stream(
    take: Take,
    sound: Path,
    redrawer: Redrawer,
    writer: ResultWriter,
    settings: Wav2LipConfig,
    progress: Progress,
) -> None:
    """Decode, redraw and encode side by side; memory holds a few pictures of each."""
    shown = take.shown
    mel = wav2lip_mel(read_sound(sound).samples)
    starts = mel_starts(shown.pts, shown.time_base, mel.shape[1])
    wanted = read_pictures_in_order(take.clip, take.faces.wanted(), take.index)
    faces = gather_references(wanted, take.faces)
    source = read_pictures_in_order(take.clip, shown.frames.tolist(), take.index, native=True)
    write = WriteBehind[tuple[Picture, int]](lambda item: writer.write(*item), WAITING)
    with write as behind:
        ahead = read_ahead(source, WAITING)
        drawn = redraw_faces(ahead, mel, starts, take.faces, faces, redrawer, settings)
        for done, (picture, pts) in enumerate(zip(drawn, shown.pts.tolist(), strict=True)):
            behind.put((picture, pts))
            progress(done + 1, len(shown))


def _ranges(missing: np.ndarray) -> list[tuple[int, int]]:
    """First and last frame of each stretch of the result that is marked."""
    return [(first, end - 1) for first, end in true_runs(missing)]


def _warn_of_missing(missing: np.ndarray, shown: FramePlan) -> None:
    ranges, seconds = _ranges(missing), shown.seconds()
    if not ranges:
        return
    listed = [f"{seconds[first]:.2f}-{seconds[last]:.2f} s" for first, last in ranges]
    more = f" and {len(ranges) - _RANGES_SAID} more" if len(ranges) > _RANGES_SAID else ""
    LOG.warning(
        "%d of %d frames show no face and pass through as they were filmed: %s%s",
        *(int(missing.sum()), len(missing), ", ".join(listed[:_RANGES_SAID]), more),
    )
