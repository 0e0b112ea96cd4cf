"""Ingest: what the clip is, when each frame is shown, and its sound for analysis."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from metatalk.errors import MediaError
from metatalk.media.audio import read_sound, write_wav
from metatalk.media.probe import VideoInfo, probe_video
from metatalk.media.video import index_frames
from metatalk.stages.artefacts import save_index
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics

log = logging.getLogger(__name__)


def compute(inputs: Mapping[str, Path], config: None, out: Path, progress: Progress) -> Metrics:
    """Index the clip and copy its sound, if it has any that decodes, as 16 kHz mono."""
    clip = inputs["clip"]
    info = probe_video(clip)
    index = index_frames(clip, progress)
    save_index(out / "frames.npz", index)
    (out / "video.json").write_text(
        json.dumps(_facts(info), indent=1, default=str), encoding="utf-8"
    )
    metrics: Metrics = {
        "frames": len(index),
        "fps": float(index.rate),
        "duration_s": index.duration,
        "width": info.width,
        "height": info.height,
    }
    if info.has_audio:
        metrics["sound_s"] = _copy_sound(clip, out / "sound.wav")
    return metrics


def _copy_sound(clip: Path, path: Path) -> float:
    """Seconds of sound written; 0, and no file, where the track holds none that can be used."""
    try:
        sound = read_sound(clip, from_first_frame=True)
    except MediaError as error:  # the picture alone still fits and renders
        log.warning("%s; going on without sound (to learn from it: %s)", *error.args)
        return 0.0
    write_wav(path, sound)
    return sound.duration_s


def _facts(info: VideoInfo) -> dict[str, object]:
    """The probe's findings without the path: an actor folder may move."""
    named = {name: value for name, value in vars(info).items() if name != "path"}
    return {**named, "colour": vars(info.colour)}


INGEST = Stage("ingest", reads=("clip",), revision=1, compute=compute)
