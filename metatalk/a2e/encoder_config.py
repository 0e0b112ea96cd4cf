"""Settings of the speech encoder."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError

BUILTIN, NONE = "builtin", "none"


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder of speech listens beside the mel spectrogram."""

    source: str = BUILTIN  # "builtin", "none", a folder of transformers or a file .onnx
    layer: int = -1  # of a folder's model: 0 is the input of the first layer, -1 the last's output

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigError(
                "a2e.encoder.source is empty",
                f'Give "{BUILTIN}", "{NONE}", the folder of a wav2vec2, HuBERT, WavLM or whisper '
                "checkpoint, or a file .onnx.",
            )
