"""What is heard in a recording: mel bands, and beside them streams that know no speaker."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metatalk.a2e.architectures.choice import find_architecture
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.encoders import SpeechEncoder, open_encoder
from metatalk.a2e.mfcc import COEFFICIENTS, mfcc
from metatalk.a2e.phones import PHONES, phones
from metatalk.a2e.senones import model_folder
from metatalk.a2e.voices import voice_set
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.lipsync.mel import BANDS, SILENCE, wav2lip_mel
from metatalk.shapes import check_shape

if TYPE_CHECKING:
    from metatalk.a2e.prior import Prior

log = logging.getLogger(__name__)

_BOUNDED = ("mfcc",)  # streams that need no sound to come; the others listen to whole windows


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording as it is heard, 80 columns a second."""

    mel: np.ndarray  # (80, M) mel units
    heard: np.ndarray  # (D, M) float32, the other streams one below the other; D may be 0

    def __post_init__(self) -> None:
        columns = check_shape("mel", self.mel, f"{BANDS} M")["M"]
        check_shape("heard", self.heard, "D M", M=columns)

    @property
    def columns(self) -> int:
        """M."""
        return self.mel.shape[1]


@dataclass(frozen=True, eq=False)
class Stream:
    """One kind of features beside the mel."""

    name: str
    size: int
    hear: Callable[[np.ndarray, int], np.ndarray]  # (S,) samples, M -> (D, M)
    identity: str  # changes with whatever changes the features


@dataclass(frozen=True, eq=False)
class Ears:
    """All that listens to a recording, opened once."""

    streams: tuple[Stream, ...]
    encoder: str | None = None  # the name of the encoder of speech,
    terms: str | None = None  # the terms under which it came,
    digest: str | None = None  # and the digest of its weights
    prior: Prior | None = None  # what an actor's model is to begin with; no part of what is heard

    @property
    def size(self) -> int:
        """D, the rows heard beside the mel."""
        return sum(stream.size for stream in self.streams)

    @property
    def names(self) -> tuple[str, ...]:
        """What is heard beside the mel."""
        return tuple(stream.name for stream in self.streams)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that differ between ears that hear differently."""
        identities = "\n".join(f"{s.name} {s.size} {s.identity}" for s in self.streams)
        return hashlib.sha256(identities.encode()).digest()

    def listen(self, samples: np.ndarray, columns: int | None = None) -> Sound:
        """Hear a recording.

        Args:
            samples: (S,) speech at 16 kHz in [-1, 1].
            columns: M at least; past the end of the sound silence is heard.

        Returns:
            What is heard: with the built-in encoder 7 MB a minute.

        Raises:
            ShapeError: the samples are not one-dimensional, or not finite.
        """
        mel = wav2lip_mel(samples)
        if columns is not None and columns > mel.shape[1]:
            missing = columns - mel.shape[1]
            mel = np.pad(mel, ((0, 0), (0, missing)), constant_values=SILENCE)
        rows = [stream.hear(samples, mel.shape[1]) for stream in self.streams]
        heard = np.concatenate(rows) if rows else np.zeros((0, mel.shape[1]), np.float32)
        return Sound(mel, heard.astype(np.float32, copy=False))


DEAF = Ears(())  # hears the mel alone


def reopen_ears(config: A2EConfig, fingerprint: bytes) -> Ears:
    """Open the ears that a model was trained with.

    Args:
        config: the settings it was trained with.
        fingerprint: of the ears it was trained with.

    Returns:
        The mel alone where nothing else was heard, whatever is installed here; else what the
        settings name, which may not be what was heard: `MouthModel.require_ears` looks.

    Raises:
        MissingAssetError: a stream that was named cannot be had.
    """
    return DEAF if fingerprint == DEAF.fingerprint else open_ears(config)


def open_ears(config: A2EConfig) -> Ears:
    """Open the streams that the settings ask for.

    Args:
        config: network, features, encoder. Where no streams are named, it is what the network
            is defined on; ours takes a speech encoder where one is installed and the mel alone
            where none is.

    Returns:
        The ears. With a bounded look-ahead a stream that listens to whole windows is left out.

    Raises:
        MissingAssetError: a stream that was named cannot be had.
        ConfigError: it was named, and an encoder for it is not wanted.
    """
    named = config.features.streams
    wanted = named if named is not None else find_architecture(config.network).wants
    streams: list[Stream] = []
    encoder = None
    for name in wanted:
        if config.lookahead_ms is not None and name not in _BOUNDED and name != "mel":
            log.info("a2e.lookahead_ms is set: %s, which hears far ahead, is left out", name)
        elif name == "speech":
            encoder = _open_encoder(config, needed=named is not None)
            if encoder is not None:
                streams.append(Stream(name, encoder.size, encoder.encode, encoder.digest))
            elif named is not None:
                raise ConfigError(
                    "a2e.features.streams names speech, and a2e.encoder.source none",
                    "Name an encoder, or leave the stream out.",
                )
        elif name == "phones":
            model_folder()  # complains now, not when the footage has been fitted
            streams.append(Stream(name, len(PHONES), phones, "pocketsphinx en-us"))
        elif name == "mfcc":
            streams.append(Stream(name, 2 * (COEFFICIENTS + 1), mfcc, "mfcc"))
    if encoder is None:
        return Ears(tuple(streams))
    return Ears(tuple(streams), encoder.name, encoder.terms, encoder.digest)


def other_voices(samples: np.ndarray, config: A2EConfig, seed: int) -> Iterator[np.ndarray]:
    """The footage's sound in the voices, rooms and microphones that the settings ask for."""
    return voice_set(samples, config.voices.copies, seed, config.voices)


def _open_encoder(config: A2EConfig, needed: bool) -> SpeechEncoder | None:
    try:
        return open_encoder(config.encoder)
    except MissingAssetError as error:
        if needed or config.encoder.source != "builtin":
            raise
        log.warning(
            "%s: the mouth is learned from the mel spectrogram alone, and unheard voices will "
            "suit it less (%s)",
            *(error.problem, error.remedy),
        )
        return None
