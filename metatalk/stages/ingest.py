"""Ingest: what the clip is, when each frame is shown, and its sound for analysis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from metatalk.media.audio import read_sound, write_wav
from metatalk.media.probe import VideoInfo, probe_video
from metatalk.media.video import index_frames
from metatalk.stages.artefacts import save_index
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics


def compute(inputs: Mapping[str, Path], config: None, out: Path, progress: Progress) -> Metrics:
    """Index the clip and copy its sound, if it has any, as 16 kHz mono."""
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
        sound = read_sound(clip, from_first_frame=True)
        write_wav(out / "sound.wav", sound)
        metrics["sound_s"] = sound.duration_s
    return metrics


def _facts(info: VideoInfo) -> dict[str, object]:
    """The probe's findings without the path: an actor folder may move."""
    named = {name: value for name, value in vars(info).items() if name != "path"}
    return {**named, "colour": vars(info.colour)}


INGEST = Stage("ingest", reads=("clip",), revision=1, compute=compute)
