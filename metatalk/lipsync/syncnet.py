"""The judges of lip sync: Wav2Lip's colour expert, SyncNet v2, and the figures made from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import MediaError
from metatalk.lipsync.blocks import conv, residual
from metatalk.shapes import check_shape

WINDOW_FRAMES = 5  # video frames both judges look at
MAX_SHIFT = 15  # frames either way that are tried
MFCC_PER_FRAME = 4  # 100 Hz of MFCC at 25 frames a second
MIN_WINDOWS = 2 * 25 - WINDOW_FRAMES + 1  # two seconds: below it the zero padding decides


class ColourExpert(nn.Module):
    """Embed five lower half faces and 200 ms of sound where in-sync pairs lie close.

    Source: Prajwal et al. 2020 (SyncNet_color); state-dict keys as in `lipsync_expert.pth`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder = nn.Sequential(
            conv(15, 32, 7, 1, 3),
            conv(32, 64, 5, (1, 2), 1),
            *(residual(64), residual(64)),
            conv(64, 128, 3, 2, 1),
            *(residual(128), residual(128), residual(128)),
            conv(128, 256, 3, 2, 1),
            *(residual(256), residual(256)),
            conv(256, 512, 3, 2, 1),
            *(residual(512), residual(512)),
            conv(512, 512, 3, 2, 1),
            conv(512, 512, 3),
            conv(512, 512, 1),
        )
        self.audio_encoder = nn.Sequential(
            conv(1, 32, 3, 1, 1),
            *(residual(32), residual(32)),
            conv(32, 64, 3, (3, 1), 1),
            *(residual(64), residual(64)),
            conv(64, 128, 3, 3, 1),
            *(residual(128), residual(128)),
            conv(128, 256, 3, (3, 2), 1),
            *(residual(256), residual(256)),
            conv(256, 512, 3),
            conv(512, 512, 1),
        )

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Embed sound and lips.

        Args:
            mel: (B, 1, 80, 16) Wav2Lip's mel.
            faces: (B, 15, 48, 96) five lower halves, BGR in [0, 1], stacked frame by frame.

        Returns:
            Sound and lips, each (B, 512) of length one; their dot product is the cosine.

        Raises:
            ShapeError: an input has another shape.
        """
        batch = check_shape("mel", mel, "B 1 80 16")["B"]
        check_shape("faces", faces, "B 15 48 96", B=batch)
        sound = self.audio_encoder(mel).flatten(1)
        lips = self.face_encoder(faces).flatten(1)
        return functional.normalize(sound), functional.normalize(lips)


class SyncNet(nn.Module):
    """Embed windows of mouth video and of sound in one space.

    Source: Chung & Zisserman, "Out of time", 2016, in its second version; state-dict keys as
    in `syncnet_v2.model`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_normed(nn.Conv2d(1, 64, 3, 1, 1)),
            nn.MaxPool2d(1, 1),
            *_normed(nn.Conv2d(64, 192, 3, 1, 1)),
            nn.MaxPool2d(3, (1, 2)),
            *_normed(nn.Conv2d(192, 384, 3, 1, 1)),
            *_normed(nn.Conv2d(384, 256, 3, 1, 1)),
            *_normed(nn.Conv2d(256, 256, 3, 1, 1)),
            nn.MaxPool2d(3, 2),
            *_normed(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = nn.Sequential(
            *_normed(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_normed(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_normed(nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1))),
            *_normed(nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1))),
            *_normed(nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_normed(nn.Conv3d(256, 512, (1, 6, 6))),
        )

    def embed_sound(self, mfcc: Tensor) -> Tensor:
        """Embed (B, 1, 13, 20) MFCC windows of 200 ms as (B, 1024)."""
        check_shape("mfcc", mfcc, "B 1 13 20")
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def embed_lips(self, windows: Tensor) -> Tensor:
        """Embed (B, 3, 5, 224, 224) windows of frames, BGR 0-255, as (B, 1024)."""
        check_shape("windows", windows, f"B 3 {WINDOW_FRAMES} 224 224")
        return self.netfclip(self.netcnnlip(windows).flatten(1))


def _normed(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    norm = nn.BatchNorm3d if isinstance(convolution, nn.Conv3d) else nn.BatchNorm2d
    return convolution, norm(convolution.out_channels), nn.ReLU()


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


@dataclass(frozen=True)
class SyncFigures:
    """How well lips and sound fit, as the field reports it."""

    distance: float  # LSE-D: mean distance at the best shift; lower is better
    confidence: float  # LSE-C: median less minimum over the shifts; higher is better
    offset_frames: int  # positive when the sound leads the picture


def sync_figures(lips: Tensor, sound: Tensor, min_windows: int = MIN_WINDOWS) -> SyncFigures:
    """Compute LSE-D, LSE-C and the offset from SyncNet embeddings.

    Args:
        lips: (T, N) embeddings of the windows that start at frames 0, 1, ...
        sound: (T, N) embeddings of the sound at the same times (every fourth MFCC column).
        min_windows: fewest windows for a verdict.

    Returns:
        The three figures.

    Raises:
        ShapeError: the embeddings do not pair up.
        MediaError: the clip is too short for a verdict.

    Source: Chung & Zisserman 2016, as in the evaluation of `syncnet_v2.model`.
    """
    size = check_shape("lips", lips, "T N")
    check_shape("sound", sound, "T N", **size)
    if size["T"] < min_windows:
        raise MediaError(
            f"{size['T']} windows of {WINDOW_FRAMES} frames are too few to judge sync",
            f"give at least {min_windows + WINDOW_FRAMES - 1} frames (two seconds) of speech",
        )
    padded = functional.pad(sound, (0, 0, MAX_SHIFT, MAX_SHIFT))
    means = [
        torch.linalg.vector_norm(lips - padded[shift : shift + size["T"]], dim=1).mean().item()
        for shift in range(2 * MAX_SHIFT + 1)
    ]
    best = int(np.argmin(means))
    return SyncFigures(
        distance=means[best],
        confidence=float(np.median(means)) - means[best],
        offset_frames=MAX_SHIFT - best,
    )
