"""Load lip-sync weights, official or ours, and say under what terms they stand."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.lipsync.syncnet import ColourExpert, SyncNet
from metatalk.lipsync.wav2lip import QualityDiscriminator, Wav2Lip

Network = TypeVar("Network", bound=nn.Module)
# Everything that a stranger's or a damaged file makes the two libraries raise.
_UNREADABLE = (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError)


@dataclass(frozen=True)
class Kind:
    """One of the networks a checkpoint file can hold."""

    title: str
    marker: str  # a key that no other of the networks has
    usual_file: str
    terms: str  # of the public weights


_WAV2LIP_TERMS = (
    "Wav2Lip's public weights: personal, research and non-commercial use only, "
    "because they were trained on LRS2 (Rudrabha/Wav2Lip, README)"
)
_SYNCNET_TERMS = (
    "SyncNet's public weights: their authors state no terms for commercial use "
    "(joonson/syncnet_python); research use only until they do"
)
KINDS: dict[type[nn.Module], Kind] = {
    Wav2Lip: Kind(
        "Wav2Lip generator",
        "face_decoder_blocks.0.0.conv_block.0.weight",
        "wav2lip.pth or wav2lip_gan.pth",
        _WAV2LIP_TERMS,
    ),
    QualityDiscriminator: Kind(
        "Wav2Lip quality discriminator",
        "binary_pred.0.weight",
        "visual_quality_disc.pth",
        _WAV2LIP_TERMS,
    ),
    ColourExpert: Kind(
        "lip-sync expert",
        "face_encoder.0.conv_block.0.weight",
        "lipsync_expert.pth",
        _WAV2LIP_TERMS,
    ),
    SyncNet: Kind("SyncNet v2", "netcnnlip.0.weight", "syncnet_v2.model", _SYNCNET_TERMS),
}


@dataclass(frozen=True)
class CheckpointRecord:
    """What the ledger says about weights that were used."""

    title: str
    file: str  # its name, without the folder
    sha256: str
    terms: str
    commercial: bool  # whether the terms are known to allow commercial use


def load_network(kind: type[Network], path: Path) -> tuple[Network, CheckpointRecord]:
    """Build a network and fill it with the weights of a file.

    Args:
        kind: `Wav2Lip`, `QualityDiscriminator`, `ColourExpert` or `SyncNet`.
        path: a PyTorch checkpoint (opened with `weights_only=True`), with or without the
            `state_dict` wrapper and the `module.` prefix, or a safetensors file.

    Returns:
        The network in evaluation mode, without gradients, and its entry for the ledger.

    Raises:
        MissingAssetError: there is no such file, or it holds no weights.
        ConfigError: it holds the weights of something else.
    """
    values, metadata = _read(path, KINDS[kind])
    state = unwrap_state(values)
    network = kind()
    _check_keys(network, state, path)
    network.load_state_dict(state, strict=False)
    return network.eval().requires_grad_(False), _record(kind, path, metadata)


def unwrap_state(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take the tensors out of a checkpoint, whatever it is wrapped in.

    Args:
        values: a state dict, or a training checkpoint with a `state_dict`.

    Returns:
        The tensors by key, without the `module.` of data-parallel training.

    >>> list(unwrap_state({"state_dict": {"module.a": torch.zeros(1)}, "global_step": 3}))
    ['a']
    """
    inner = values.get("state_dict", values)
    state = inner if isinstance(inner, Mapping) else values
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _read(path: Path, kind: Kind) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    if not path.is_file():
        raise MissingAssetError(
            f"there is no {kind.title} checkpoint at {path}",
            f"give the path of {kind.usual_file}, or of weights trained here; {kind.terms}",
        )
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _unreadable(path, kind) from error
    if not isinstance(values, Mapping):
        raise _unreadable(path, kind)
    return values, {}


def _read_safetensors(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return load_file(path), metadata


def _unreadable(path: Path, kind: Kind) -> MissingAssetError:
    return MissingAssetError(
        f"{path} holds no weights that can be loaded safely",
        f"give {kind.usual_file} as published (a damaged download is the usual cause), "
        "or save the state dict alone: torch.save(network.state_dict(), path)",
    )


def _check_keys(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a foreign file before PyTorch lists hundreds of keys."""
    kind = KINDS[type(network)]
    if kind.marker not in state:
        found = next((other.title for other in KINDS.values() if other.marker in state), None)
        raise ConfigError(
            f"{path} holds {f'a {found}' if found else 'something else'}, not a {kind.title}",
            f"give {kind.usual_file}, or such weights trained here",
        )
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):  # absent from checkpoints of old PyTorch
            continue
        if key not in state or state[key].shape != value.shape:
            shape = tuple(state[key].shape) if key in state else "missing"
            raise ConfigError(
                f"{path} is not the {kind.title} that metatalk knows: "
                f"{key} is {shape}, not {tuple(value.shape)}",
                f"give {kind.usual_file}; variants for larger faces have other layers",
            )


def _record(kind: type[nn.Module], path: Path, metadata: Mapping[str, str]) -> CheckpointRecord:
    """Weights trained here carry their own terms; any others stand under the public ones."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CheckpointRecord(
        title=KINDS[kind].title,
        file=path.name,
        sha256=digest,
        terms=metadata.get("terms", KINDS[kind].terms),
        commercial=metadata.get("commercial") == "true",
    )
