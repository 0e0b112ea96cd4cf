"""A toy judge, and clips whose pictures grow bright as their sound grows loud."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor, nn

from metatalk.landmarks.points import IBUG68
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.checkpoints import CheckpointRecord
from metatalk.lipsync.judge import Judge
from metatalk.stages.sync import WatchedClip
from metatalk.timing import FrameIndex

MEL_PER_BRIGHTNESS = 3.2  # 40 dB from black to white


class ToyExpert(nn.Module):
    """Sees how bright five lower halves are, and hears how loud it is at those times."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(MEL_PER_BRIGHTNESS))

    def embed_lips(self, faces: Tensor) -> Tensor:
        bright = faces.reshape(len(faces), 5, -1).mean(dim=2) * self.weight
        return bright - bright.mean(dim=1, keepdim=True)

    def embed_sound(self, mel: Tensor) -> Tensor:
        loud = mel.mean(dim=(1, 2))  # (B, 16)
        heard = torch.stack([loud[:, k : k + 3].mean(dim=1) for k in (0, 3, 6, 9, 12)], dim=1)
        return heard - heard.mean(dim=1, keepdim=True)


def toy_judge(batch: int = 16) -> Judge:
    record = CheckpointRecord("lip-sync expert", "toy.safetensors", "0" * 64, "a toy", True)
    return Judge("expert", ToyExpert().eval(), record, ours=True, batch=batch)  # type: ignore[arg-type]


def toy_signal(frames: int, seed: int = 0) -> np.ndarray:
    """(T,) brightness from 0 to 1 that changes from frame to frame."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, frames)


def toy_sound(signal: np.ndarray, lead_frames: int = 0) -> np.ndarray:
    """Noise as loud as a signal is high, so many frames early."""
    loud = np.repeat(np.roll(signal, -lead_frames), 640)
    noise = np.random.default_rng(1).normal(0, 1, len(loud))
    return (0.1 * noise * 10 ** (40 * (loud - 1) / 20)).astype(np.float32)


def toy_faces(signal: np.ndarray, px: int = 96) -> np.ndarray:
    """(T, px, px, 3) uint8, each of one grey."""
    return np.broadcast_to(
        np.rint(255 * signal).astype(np.uint8)[:, None, None, None], (len(signal), px, px, 3)
    ).copy()


def toy_track(frames: int, cuts: tuple[int, ...] = (), faceless: slice = slice(0)) -> LandmarkTrack:
    """A face that stands still in the middle of a picture of 64 x 64 pixels."""
    points = np.zeros((68, 3), np.float32)
    points[:17, 0], points[:17, 1] = np.linspace(-20, 20, 17), 24  # jaw
    points[17:27, 0], points[17:27, 1] = np.linspace(-15, 15, 10), -8  # brows
    points[27:36, 1] = 10  # nose
    points[36:42, 0], points[42:48, 0] = -9, 9  # eyes
    points[48:68, 1] = 18
    points[:, :2] += 32
    stacked = np.repeat(points[None], frames, axis=0)
    stacked[faceless] = np.nan
    seen = np.isfinite(stacked[:, 0, 0])
    edges = [0, *cuts, frames]
    shots = np.array([edges[:-1], edges[1:]]).T
    state = seen.astype(np.uint8)
    return LandmarkTrack(stacked, seen.astype(np.float32), state, shots, IBUG68.layout)


def toy_watched(
    folder: Path,
    frames: int = 150,
    *,
    lead_frames: int = 0,
    rate: int = 25,
    cuts: tuple[int, ...] = (),
    faceless: slice = slice(0),
) -> WatchedClip:
    """A clip of 64 x 64 grey pictures in which the face is already found."""
    clip = folder / "toy.mp4"
    moments = np.arange(frames) * 25 // rate
    signal = toy_signal(int(moments[-1]) + 1)
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate, width=64, height=64)
        stream.codec_context.options = {"crf": "1"}
        for grey in np.rint(255 * signal[moments]).astype(np.uint8):
            picture = np.full((64, 64, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    index = FrameIndex(np.arange(frames), Fraction(1, rate), Fraction(rate))
    track = toy_track(frames, cuts, faceless)
    return WatchedClip(clip, index, track, toy_sound(signal, lead_frames))
