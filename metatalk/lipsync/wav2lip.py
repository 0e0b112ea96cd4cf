"""Wav2Lip's generator and its quality discriminator.

Source: Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the
Wild", ACM Multimedia 2020. Written from the list of layers; the state-dict keys are the
official ones, so official weights load.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from metatalk.lipsync.blocks import ConvBlock, bare, conv, residual, stages, unpool
from metatalk.lipsync.mel import BANDS, CHUNK_COLUMNS
from metatalk.shapes import check_shape

Blocks = TypeVar("Blocks", bound=nn.Module)
FACE_PX = 96  # height and width of every face the generator sees


class Wav2Lip(nn.Module):
    """Redraw the lower half of a 96x96 face so that it speaks 200 ms of sound."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = stages(
            [
                [conv(6, 16, 7, 1, 3)],  # 96x96
                [conv(16, 32, 3, 2, 1), residual(32), residual(32)],  # 48x48
                [conv(32, 64, 3, 2, 1), residual(64), residual(64), residual(64)],  # 24x24
                [conv(64, 128, 3, 2, 1), residual(128), residual(128)],  # 12x12
                [conv(128, 256, 3, 2, 1), residual(256), residual(256)],  # 6x6
                [conv(256, 512, 3, 2, 1), residual(512)],  # 3x3
                [conv(512, 512, 3), conv(512, 512, 1)],  # 1x1
            ]
        )
        self.audio_encoder = nn.Sequential(
            conv(1, 32, 3, 1, 1),
            *(residual(32), residual(32)),
            conv(32, 64, 3, (3, 1), 1),
            *(residual(64), residual(64)),
            conv(64, 128, 3, 3, 1),
            *(residual(128), residual(128)),
            conv(128, 256, 3, (3, 2), 1),
            residual(256),
            conv(256, 512, 3),
            conv(512, 512, 1),
        )
        self.face_decoder_blocks = stages(
            [
                [conv(512, 512, 1)],  # 1x1
                [unpool(1024, 512, 1, 0, 0), residual(512)],  # 3x3
                [unpool(1024, 512), residual(512), residual(512)],  # 6x6
                [unpool(768, 384), residual(384), residual(384)],  # 12x12
                [unpool(512, 256), residual(256), residual(256)],  # 24x24
                [unpool(320, 128), residual(128), residual(128)],  # 48x48
                [unpool(160, 64), residual(64), residual(64)],  # 96x96
            ]
        )
        self.output_block = nn.Sequential(conv(80, 32, 3, 1, 1), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Redraw faces.

        Args:
            mel: (B, 1, 80, 16) Wav2Lip's mel, scaled to [-4, 4].
            faces: (B, 6, 96, 96) BGR in [0, 1]: the target with its lower half zero, then
                the reference.

        Returns:
            (B, 3, 96, 96) BGR in [0, 1].

        Raises:
            ShapeError: an input has another shape.
        """
        batch = check_shape("mel", mel, f"B 1 {BANDS} {CHUNK_COLUMNS}")["B"]
        check_shape("faces", faces, f"B 6 {FACE_PX} {FACE_PX}", B=batch)
        skips: list[Tensor] = []
        for encode in self.face_encoder_blocks:
            faces = encode(faces)
            skips.append(faces)
        drawn = self.audio_encoder(mel)  # (B, 512, 1, 1)
        for decode, skip in zip(self.face_decoder_blocks, reversed(skips), strict=True):
            drawn = torch.cat((decode(drawn), skip), dim=1)
        return self.output_block(drawn)


class QualityDiscriminator(nn.Module):
    """Tell real lower halves of faces from generated ones."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = stages(
            [
                [bare(3, 32, 7, 1, 3)],  # 48x96
                [bare(32, 64, 5, (1, 2), 2), bare(64, 64, 5, 1, 2)],  # 48x48
                [bare(64, 128, 5, 2, 2), bare(128, 128, 5, 1, 2)],  # 24x24
                [bare(128, 256, 5, 2, 2), bare(256, 256, 5, 1, 2)],  # 12x12
                [bare(256, 512, 3, 2, 1), bare(512, 512, 3, 1, 1)],  # 6x6
                [bare(512, 512, 3, 2, 1), bare(512, 512, 3, 1, 1)],  # 3x3
                [bare(512, 512, 3), bare(512, 512, 1)],  # 1x1
            ]
        )
        self.binary_pred = nn.Sequential(nn.Conv2d(512, 1, 1), nn.Sigmoid())

    def forward(self, faces: Tensor) -> Tensor:
        """Judge faces.

        Args:
            faces: (B, 3, 96, 96) BGR in [0, 1]; only the lower halves are looked at.

        Returns:
            (B, 1) probability of being real.

        Raises:
            ShapeError: the faces have another shape.
        """
        check_shape("faces", faces, f"B 3 {FACE_PX} {FACE_PX}")
        features = faces[:, :, FACE_PX // 2 :]  # (B, 3, 48, 96)
        for encode in self.face_encoder_blocks:
            features = encode(features)
        return self.binary_pred(features).flatten(1)


class LowerFaceGenerator(nn.Module):
    """The generator in its fastest form, which draws only the part of the face that is used.

    Batch norms are folded into the convolutions before them. The decoder's last levels, which
    take three quarters of the time, work on the lower rows alone: a row of the picture looks
    only a few rows up at each level, so rows far above the mask need not be drawn.

    Args:
        generator: with its weights; it is left as it is.
    """

    def __init__(self, generator: Wav2Lip) -> None:
        super().__init__()
        self.face_encoder_blocks = _folded(generator.face_encoder_blocks)
        self.audio_encoder = _folded(generator.audio_encoder)
        self.face_decoder_blocks = _folded(generator.face_decoder_blocks)
        self.output_block = _folded(generator.output_block)

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Redraw the lower part of faces; inputs as of `Wav2Lip`.

        Returns:
            (B, 3, 57, 96) BGR in [0, 1], rows 39 to 95 of what `Wav2Lip` returns.
        """
        skips: list[Tensor] = []
        for encode in self.face_encoder_blocks:
            faces = encode(faces)
            skips.append(faces)
        drawn = self.audio_encoder(mel)
        levels = zip(self.face_decoder_blocks, reversed(skips), _FIRST_ROWS, strict=True)
        first = 0  # of the rows that `drawn` holds, at its level
        for decode, skip, wanted in levels:
            size = drawn.shape[3]
            drawn = decode(drawn[:, :, wanted - first :])
            first = wanted * drawn.shape[3] // size
            drawn = torch.cat((drawn, skip[:, :, first:]), dim=1)
        return self.output_block(drawn)[:, :, FIRST_DRAWN - first :]


# The row of its input, at its own level, from which each decoder block works. Two residual
# convolutions spoil two rows at the cut, and the output's first convolution one more.
_FIRST_ROWS = (0, 0, 0, 0, 3, 8, 18)
FIRST_DRAWN = 39  # the first row of a face that `LowerFaceGenerator` draws


@dataclass(frozen=True, eq=False)
class Redrawer:
    """A generator that is ready to work: who redraws, and how many faces at a time."""

    generator: nn.Module  # as `Wav2Lip`, or drawing its lowest rows alone; in evaluation mode
    batch: int = 16  # faces a call

    def redraw(self, targets: np.ndarray, references: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Redraw the lower halves of faces so that they speak.

        Args:
            targets: (B, 96, 96, 3) uint8 RGB; their lower halves are not looked at.
            references: (B, 96, 96, 3) uint8 RGB of the same person.
            chunks: (B, 80, 16) mel.

        Returns:
            (B, 96, 96, 3) uint8 RGB; rows that the generator does not draw are the targets'.

        Raises:
            ShapeError: the inputs do not go together.
        """
        size = check_shape("targets", targets, f"B {FACE_PX} {FACE_PX} 3")
        check_shape("references", references, f"B {FACE_PX} {FACE_PX} 3", **size)
        check_shape("chunks", chunks, f"B {BANDS} {CHUNK_COLUMNS}", **size)
        weights = next(self.generator.parameters())
        faces = stack_faces(targets, references).to(weights)
        mel = torch.from_numpy(np.ascontiguousarray(chunks, np.float32))[:, None].to(weights)
        with torch.inference_mode():
            drawn = self.generator(mel, faces)
        pixels = (drawn.float() * 255).round().clamp(0, 255).to(torch.uint8)  # (B, 3, h, 96)
        faces_out = targets.copy()
        faces_out[:, -pixels.shape[2] :] = pixels.permute(0, 2, 3, 1).cpu().numpy()[..., ::-1]
        return faces_out


def prepare_redrawer(
    generator: Wav2Lip,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    batch: int = 16,
) -> Redrawer:
    """Bring a generator into the form in which it works fastest.

    Args:
        generator: with its weights, in evaluation mode; it is left as it is.
        device: where to work.
        dtype: of the arithmetic; bfloat16 halves the time on processors that have it, see
            `choose_precision`.
        batch: faces a call.

    Returns:
        The redrawer.
    """
    ready = LowerFaceGenerator(generator).eval().requires_grad_(False).to(device, dtype)
    # As `to(memory_format=...)`, which PyTorch's own type stubs do not know.
    convert_conv2d_weight_memory_format(ready, torch.channels_last)
    return Redrawer(ready, batch)


def _folded(blocks: Blocks) -> Blocks:
    """A copy in evaluation mode whose batch norms are part of the convolutions before them."""
    copied = copy.deepcopy(blocks).eval()
    for block in copied.modules():
        if isinstance(block, ConvBlock):
            block.fold_norm()
    return copied


def stack_faces(targets: np.ndarray, references: np.ndarray) -> Tensor:
    """Lay out targets and references as the generator takes them.

    Args:
        targets: (B, 96, 96, 3) uint8 RGB.
        references: (B, 96, 96, 3) uint8 RGB.

    Returns:
        (B, 6, 96, 96) float32 in [0, 1], BGR and BGR, the targets' lower halves zero.
    """
    upper = targets.copy()
    upper[:, FACE_PX // 2 :] = 0
    stacked = np.concatenate([upper[..., ::-1], references[..., ::-1]], axis=3)
    values = torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255
    return values.contiguous(memory_format=torch.channels_last)
