"""The network that guesses Deep3DFaceRecon's coefficients from a crop, and its checkpoint.

No published checkpoint was at hand when this was written: names and sizes of the layers follow the
public description, and a checkpoint that differs is refused with the first difference named.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.morphable.deep3d_crop import CROP_PX
from metatalk.shapes import check_shape

HEADS = (80, 64, 80, 3, 27, 2, 1)  # id, exp, tex, angle, gamma, trans x and y, trans z
FEATURES = 2048
BLOCKS = (3, 4, 6, 3)  # of ResNet-50's four layers
STATE_KEY = "net_recon"  # what the tool's checkpoints keep the network under
_EXPANSION = 4  # a block's output channels over its width
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError)
_REMEDY = (
    "give epoch_20.pth of Deep3DFaceRecon_pytorch with its ResNet-50, as published "
    "(a damaged download is the usual cause)"
)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around which the input goes past.

    The names of the members give the checkpoint's keys.

    Args:
        channels: that come in.
        width: of the 3x3 convolution; four times as many channels go out.
        stride: of the 3x3 convolution.

    Source: He et al. 2016, with the stride in the 3x3 convolution as torchvision has it.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = _EXPANSION * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 4 width, H / stride, W / stride)."""
        out = torch.relu(self.bn1(self.conv1(values)))
        out = torch.relu(self.bn2(self.conv2(out)))
        return torch.relu(self.bn3(self.conv3(out)) + self.downsample(values))


class Deep3DNetwork(nn.Module):
    """ResNet-50 and seven 1x1 convolutions: from a crop to a vector of 257.

    Source: Deng et al. 2019 (R-Net), as published for PyTorch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _resnet50()
        self.final_layers = nn.ModuleList(nn.Conv2d(FEATURES, size, 1) for size in HEADS)

    def forward(self, crops: Tensor) -> Tensor:
        """Guess the coefficients.

        Args:
            crops: (B, 3, 224, 224) RGB in [0, 1].

        Returns:
            (B, 257) in the order of `metatalk.morphable.deep3d`.

        Raises:
            ShapeError: the crops are not shaped as documented.
        """
        check_shape("crops", crops, "B 3 S S", S=CROP_PX)
        features = self.backbone(crops)  # (B, 2048, 1, 1)
        return torch.cat([head(features) for head in self.final_layers], 1).flatten(1)


def load_deep3d_network(path: Path) -> Deep3DNetwork:
    """Build the network and fill it with the weights of a checkpoint.

    Args:
        path: the tool's checkpoint, or the network's state dict alone, with or without the
            `module.` of data-parallel training; opened with `weights_only=True`.

    Returns:
        The network in evaluation mode, without gradients, on the CPU.

    Raises:
        MissingAssetError: there is no such file, or it cannot be opened safely.
        ConfigError: it holds the weights of something else.
    """
    state = _read_state(path)
    with torch.device("meta"):  # no random weights only to overwrite them
        network = Deep3DNetwork()
    _check_state(network, state, path)
    counts = {key: torch.tensor(0) for key in network.state_dict() if _is_count(key)}
    wanted = {key: state.get(key, counts.get(key)) for key in network.state_dict()}
    network.load_state_dict(wanted, assign=True)
    return network.float().eval().requires_grad_(False)


def _resnet50() -> nn.Sequential:
    """The backbone up to its average over the picture, under torchvision's names."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        bn1=nn.BatchNorm2d(64),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, 2, 1),
    )
    channels = 64
    for number, blocks in enumerate(BLOCKS):
        width, stride = 64 * 2**number, 1 if number == 0 else 2
        first = Bottleneck(channels, width, stride)
        channels = _EXPANSION * width
        others = (Bottleneck(channels, width, 1) for _ in range(blocks - 1))
        parts[f"layer{number + 1}"] = nn.Sequential(first, *others)
    parts["avgpool"] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(parts)


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MissingAssetError(f"there is no Deep3DFaceRecon checkpoint at {path}", _REMEDY)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise MissingAssetError(
            f"{path} holds no weights that can be loaded safely",
            f"{_REMEDY}, or save the state dict alone: torch.save(network.state_dict(), path)",
        ) from error
    inner: Any = values.get(STATE_KEY, values) if isinstance(values, Mapping) else None
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{path} holds no network under {STATE_KEY!r}", _REMEDY)
    tensors = {str(key): value for key, value in inner.items() if isinstance(value, Tensor)}
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _check_state(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Name what is missing or of another shape, before PyTorch lists hundreds of keys."""
    wanted = {key: value for key, value in network.state_dict().items() if not _is_count(key)}
    missing = [key for key in wanted if key not in state]
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ConfigError(
            f"{path} is not Deep3DFaceRecon's ResNet-50: {len(missing)} of {len(wanted)} "
            f"arrays are missing ({named})",
            _REMEDY,
        )
    for key, value in wanted.items():
        if state[key].shape != value.shape:
            raise ConfigError(
                f"{path} is not Deep3DFaceRecon's ResNet-50: {key} is {tuple(state[key].shape)}, "
                f"not {tuple(value.shape)}",
                _REMEDY,
            )


def _is_count(key: str) -> bool:
    """Whether it is a batch norm's counter, absent from checkpoints of old PyTorch."""
    return key.endswith("num_batches_tracked")
