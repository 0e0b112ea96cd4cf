"""Encoders of speech from a user's own checkpoint: wav2vec2, HuBERT, WavLM, whisper."""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from metatalk.a2e.encoders import CONTEXT_S, WINDOW_S, FrameGrid, SpeechEncoder
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.workspace.digest import digest_folder

log = logging.getLogger(__name__)

_WAVEFORM_KINDS = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
_WHISPER_HOP = 320  # samples: mel columns of 160, halved by the second convolution
_LEAST_VARIANCE = 1e-7
_TRAINING_ONLY = "masked_spec_embed"  # a weight that hearing does not need

Run = Callable[[np.ndarray], np.ndarray]


def transformers_encoder(folder: Path, layer: int) -> SpeechEncoder:
    """Open a checkpoint in the folder format of the package transformers.

    Nothing is fetched and no code of the folder is run; weights are read from safetensors.

    Args:
        folder: holds `config.json` and `model.safetensors`.
        layer: which hidden state: 0 is the input of the first layer, -1 the last one's output.

    Returns:
        The encoder.

    Raises:
        MissingAssetError: transformers, the configuration or the weights are not there.
        ConfigError: a model of another kind, or without such a layer.
    """
    transformers = _transformers()
    kind = _kind(folder)
    if kind not in (*_WAVEFORM_KINDS, "whisper"):
        raise ConfigError(
            f"{folder} holds a model of kind {kind!r}, which is no speech encoder known here",
            f"give one of {', '.join((*_WAVEFORM_KINDS, 'whisper'))}",
        )
    model = _model(transformers, folder)
    layers = _layers(model, kind)
    if not -layers - 1 <= layer <= layers:
        raise ConfigError(
            f"a2e.encoder.layer is {layer}, but the model in {folder} has {layers} layers",
            f"give 0 to {layers}, or -1 for the last",
        )
    terms, digest = card_terms(folder), digest_folder(folder)
    name = f"{kind} {folder.name} layer {layer % (layers + 1)}"
    if kind == "whisper":
        return _whisper(transformers, model.get_encoder(), layer, name, terms, digest)
    size = int(model.config.hidden_size)
    run = _run_waveform(model, layer, _normalises(folder))
    return SpeechEncoder(name, size, _convolved(model.config), run, terms, digest)


def _transformers() -> ModuleType:
    try:
        return importlib.import_module("transformers")  # optional
    except ImportError as error:
        raise MissingAssetError(
            "the package transformers, which opens speech checkpoints, is not installed",
            "pip install 'metatalk[speech]', or set a2e.encoder.source=builtin",
        ) from error


def _kind(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingAssetError(
            f"{folder} has no config.json with a model_type",
            "give the folder that transformers' save_pretrained wrote",
        ) from error


def _model(transformers: ModuleType, folder: Path) -> Any:
    if not list(folder.glob("*.safetensors")):
        raise MissingAssetError(
            f"{folder} has no weights as safetensors",
            "open the checkpoint with transformers and save_pretrained it into a new folder; "
            "pickled weights can run code and are not opened",
        )
    try:
        model, found = transformers.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_whole(folder, str(error)) from error
    missing = [key for key in found["missing_keys"] if not key.endswith(_TRAINING_ONLY)]
    if missing:  # transformers would fill them with random numbers
        raise _not_whole(folder, f"it lacks {len(missing)} weights, {min(missing)} among them")
    return model.eval().requires_grad_(False)


def _not_whole(folder: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"the speech checkpoint in {folder} cannot be opened ({reason})",
        "check that the folder was copied whole and config.json belongs to the weights",
    )


def _layers(model: Any, kind: str) -> int:
    return int(model.config.encoder_layers if kind == "whisper" else model.config.num_hidden_layers)


def card_terms(folder: Path) -> str:
    """What the model card beside the weights says of its licence."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    stated = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
    return f"{stated[1]}, says its model card" if stated else "the user's own"


def _normalises(folder: Path) -> bool:
    """Whether the model was trained on sound of mean 0 and variance 1."""
    try:
        stated = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        log.warning(
            "%s has no preprocessor_config.json: its sound is normalised as wav2vec2's", folder
        )
        return True
    return bool(stated.get("do_normalize", True))


def _convolved(config: Any) -> FrameGrid:
    """The frames of a stack of convolutions without padding."""
    hop, field = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return FrameGrid(hop, field, (field - 1) / 2)


def _run_waveform(model: Any, layer: int, normalises: bool) -> Run:
    @torch.inference_mode()
    def run(samples: np.ndarray) -> np.ndarray:
        if normalises:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + _LEAST_VARIANCE)
        heard = model(torch.from_numpy(samples)[None], output_hidden_states=True)
        return heard.hidden_states[layer][0].numpy()

    return run


def _whisper(
    transformers: ModuleType, model: Any, layer: int, name: str, terms: str, digest: str
) -> SpeechEncoder:
    """Whisper hears windows of one length; what is missing of one is silence.

    Its mel columns are centred on samples 160 m and its convolutions padded alike on both
    sides, so frame t is centred on sample 320 t.
    """
    window = int(model.config.max_source_positions) * _WHISPER_HOP
    extractor = transformers.WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)

    @torch.inference_mode()
    def run(samples: np.ndarray) -> np.ndarray:
        mel = extractor(
            samples, sampling_rate=SAMPLE_RATE, max_length=window, return_tensors="pt"
        ).input_features
        heard = model(mel, output_hidden_states=True)
        return heard.hidden_states[layer][0].numpy()

    window_s = window / SAMPLE_RATE
    grid = FrameGrid(_WHISPER_HOP, _WHISPER_HOP, 0.0)
    context_s = min(CONTEXT_S, CONTEXT_S / WINDOW_S * window_s)
    size = int(model.config.d_model)
    return SpeechEncoder(name, size, grid, run, terms, digest, window_s, context_s)
