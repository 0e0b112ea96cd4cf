"""The networks that judge lip sync: Wav2Lip's colour expert and SyncNet v2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from metatalk.lipsync.blocks import conv, residual
from metatalk.shapes import check_shape

WINDOW_FRAMES = 5  # video frames both judges look at
MFCC_COLUMNS = 20  # of a window of sound, at 100 Hz
MFCC_PER_FRAME = 4  # columns at 25 frames a second


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
        check_shape("faces", faces, "B 15 48 96", B=len(mel))
        return self.embed_sound(mel), self.embed_lips(faces)

    def embed_sound(self, mel: Tensor) -> Tensor:
        """Embed (B, 1, 80, 16) windows of Wav2Lip's mel as (B, 512) of length one."""
        check_shape("mel", mel, "B 1 80 16")
        return functional.normalize(self.audio_encoder(mel).flatten(1))

    def embed_lips(self, faces: Tensor) -> Tensor:
        """Embed (B, 15, 48, 96) lower halves, BGR in [0, 1], as (B, 512) of length one."""
        check_shape("faces", faces, "B 15 48 96")
        return functional.normalize(self.face_encoder(faces).flatten(1))


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
        check_shape("mfcc", mfcc, f"B 1 13 {MFCC_COLUMNS}")
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
