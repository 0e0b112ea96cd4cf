"""The convolution block that Wav2Lip, its discriminator and its lip-sync expert are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Size: TypeAlias = int | tuple[int, int]


class ConvBlock(nn.Module):
    """Convolution, batch norm, the input again where residual, then the activation.

    Args:
        convolution: the convolution, normal or transposed.
        normalised: whether a batch norm follows the convolution.
        residual: whether the input is added before the activation.
        slope: of the activation below zero; 0 makes it a ReLU.

    Source: Prajwal et al. 2020; the names of the members give the official state-dict keys.
    """

    def __init__(
        self,
        convolution: nn.Conv2d | nn.ConvTranspose2d,
        normalised: bool = True,
        residual: bool = False,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        norm = [nn.BatchNorm2d(convolution.out_channels)] if normalised else []
        self.conv_block = nn.Sequential(convolution, *norm)
        self.residual = residual
        self.activation = nn.LeakyReLU(slope) if slope else nn.ReLU()

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        out = self.conv_block(values)
        return self.activation(out + values if self.residual else out)

    def fold_norm(self) -> None:
        """Make the batch norm's last statistics a part of the convolution, for good.

        The block then computes what it did in evaluation mode, in one pass less; its state-dict
        keys are no longer the official ones.
        """
        if len(self.conv_block) < 2:
            return
        convolution, norm = self.conv_block
        assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
        assert isinstance(norm, nn.BatchNorm2d)
        turned = isinstance(convolution, nn.ConvTranspose2d)
        folded: nn.Module = fuse_conv_bn_eval(convolution, norm, transpose=turned)
        self.conv_block = nn.Sequential(folded)


def conv(
    channels_in: int, channels_out: int, kernel: Size, stride: Size = 1, padding: Size = 0
) -> ConvBlock:
    """Build a plain block: convolution, batch norm, ReLU."""
    return ConvBlock(nn.Conv2d(channels_in, channels_out, kernel, stride, padding))


def residual(channels: int) -> ConvBlock:
    """Build a 3x3 block that keeps the size and adds its input."""
    return ConvBlock(nn.Conv2d(channels, channels, 3, 1, 1), residual=True)


def unpool(
    channels_in: int, channels_out: int, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> ConvBlock:
    """Build a 3x3 transposed block; by default it doubles height and width."""
    return ConvBlock(
        nn.ConvTranspose2d(channels_in, channels_out, 3, stride, padding, output_padding)
    )


def bare(
    channels_in: int, channels_out: int, kernel: Size, stride: Size = 1, padding: Size = 0
) -> ConvBlock:
    """Build a discriminator's block: convolution and LeakyReLU 0.01, no batch norm."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding)
    return ConvBlock(convolution, normalised=False, slope=0.01)


def stages(groups: Sequence[Sequence[ConvBlock]]) -> nn.ModuleList:
    """Wrap groups of blocks as a list of sequences, so that their keys count group and block."""
    return nn.ModuleList(nn.Sequential(*group) for group in groups)
