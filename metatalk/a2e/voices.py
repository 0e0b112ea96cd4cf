"""The same words in other voices, rooms and microphones, in time with the recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from metatalk.a2e.recording_conditions import (
    add_noise,
    add_room,
    babble,
    clip_peaks,
    draw_equaliser,
    draw_noise,
    equalise,
)
from metatalk.a2e.vocal_tract import change_tempo, shift_formants, shift_pitch, shift_speaker
from metatalk.a2e.voice_config import VoiceConfig
from metatalk.errors import ConfigError, ShapeError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.media.lossy import LOSSY_CODECS, send_through
from metatalk.shapes import check_shape

VoiceKind = Literal[
    "pitch", "formants", "speaker", "tempo", "equaliser", "room", "noise", "babble", "level",
    "clipping", "codec",
]  # fmt: skip
VOICE_KINDS: tuple[VoiceKind, ...] = get_args(VoiceKind)

_DECAY_S = (0.15, 0.7)
_DIRECT_DB = (12.0, 0.0)  # of the direct sound over the room's, weakest and strongest room
_NOISE_DB = (35.0, 8.0)  # of the speech over the noise
_BABBLE_DB = (30.0, 10.0)
_CLIPPED = 0.02  # largest share of the samples
_TEMPO = 0.2  # the strongest change of pace


@dataclass(frozen=True, eq=False)
class Varied:
    """A recording that was changed, and how its time went."""

    samples: np.ndarray  # (S',) float32 in [-1, 1] at 16 kHz
    time_scale: float = 1.0  # moment t of it is moment t time_scale of the recording

    def __post_init__(self) -> None:
        check_shape("samples", self.samples, "S")


def vary_voice(
    samples: np.ndarray, kind: VoiceKind, strength: float, rng: np.random.Generator
) -> Varied:
    """Change one thing about a recording that is not its words.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].
        kind: what.
        strength: 0 leaves it, 1 goes as far as people and devices do; which way is drawn.
        rng: source of the random numbers; the same seed gives the same sound.

    Returns:
        The changed recording; only "tempo" changes its time.

    Raises:
        ConfigError: no such kind, or a strength beyond 0 to 1.
        ShapeError: the samples are not one-dimensional, or not finite.
        MissingAssetError: PyAV's libraries lack the drawn codec.
    """
    _check(samples)
    if kind not in VOICE_KINDS:
        raise ConfigError(f"there is no variation {kind!r}", f"give one of {VOICE_KINDS}")
    if not 0 <= strength <= 1:
        raise ConfigError(f"a variation of strength {strength}", "give 0 to 1")
    if strength == 0 or len(samples) == 0:
        return Varied(samples.astype(np.float32))
    if kind == "tempo":
        factor = _factor(_TEMPO * strength, rng)
        return Varied(_held(change_tempo(samples, factor)), factor)
    return Varied(_held(_VARIATIONS[kind](samples, strength, rng)))


def voice_set(
    samples: np.ndarray, count: int, seed: int, config: VoiceConfig | None = None
) -> Iterator[np.ndarray]:
    """Speak the footage's words in other voices, rooms and microphones, in the footage's time.

    Args:
        samples: (S,) the footage's sound at 16 kHz in [-1, 1].
        count: how many copies.
        seed: of the random numbers; copy k of a seed is the same however many are asked for.
        config: how far they go.

    Yields:
        (S,) float32 in [-1, 1], one copy after the other; the recording is not among them.

    Raises:
        ShapeError: the samples are not one-dimensional, or not finite.
        MissingAssetError: PyAV's libraries lack a drawn codec.
    """
    _check(samples)
    for copy in range(count):
        # In turns up and down: even two copies lie on both sides of the recording.
        side = 1 if (seed + copy) % 2 else -1
        rng = np.random.default_rng([seed, copy])
        yield _in_another_voice(samples, config or VoiceConfig(), side, rng)


def _in_another_voice(
    samples: np.ndarray, config: VoiceConfig, side: int, rng: np.random.Generator
) -> np.ndarray:
    """A speaker, then a room, then a microphone, then a line."""
    if len(samples) == 0:
        return samples.astype(np.float32)
    heard = _other_speaker(samples, config, side, rng)
    chosen = rng.random(5) < (
        config.room, config.noise, config.babble, config.clipping, config.codec
    )  # fmt: skip
    for wanted, vary in zip(chosen, (_room, _noise, _babble), strict=False):
        if wanted:
            heard = vary(heard, float(rng.random()), rng)
    heard = equalise(heard, draw_equaliser(config.equaliser_db, rng))
    heard = _held(heard * 10 ** (rng.normal(0, config.level_db) / 20))
    if chosen[3]:
        heard = clip_peaks(heard, _CLIPPED * rng.random())
    return _codec(heard, 1.0, rng) if chosen[4] else heard


def _other_speaker(
    samples: np.ndarray, config: VoiceConfig, side: int, rng: np.random.Generator
) -> np.ndarray:
    """Tract and pitch mostly go together, as they do in people, but neither tells the other."""
    tract = (1 + config.tract) ** (side * rng.uniform(0.2, 1.0))
    pitch = (1 + config.pitch) ** float(np.clip(0.6 * side + rng.normal(0, 0.5), -1, 1))
    # Tract and pitch by one, then the tract alone for what is left.
    heard = shift_speaker(samples, pitch) if config.pitch else samples
    rest = tract / (pitch if config.pitch else 1.0)
    return shift_formants(heard, float(np.clip(rest, 0.5, 2.0)))


def _factor(change: float, rng: np.random.Generator) -> float:
    """1 + change or its inverse, at least half as far as that."""
    way = 1 if rng.random() < 0.5 else -1
    return math.pow(1 + change, way * float(rng.uniform(0.5, 1.0)))


def _pitch(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return shift_pitch(samples, _factor(0.6 * strength, rng))


def _formants(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return shift_formants(samples, _factor(0.2 * strength, rng))


def _speaker(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return shift_speaker(samples, _factor(0.25 * strength, rng))


def _equaliser(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return equalise(samples, draw_equaliser(6.0 * strength, rng))


def _room(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    decay_s = _DECAY_S[0] + (_DECAY_S[1] - _DECAY_S[0]) * strength * rng.random()
    return add_room(samples, decay_s, _between(_DIRECT_DB, strength), rng)


def _noise(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    noise = draw_noise(min(len(samples), 30 * SAMPLE_RATE), rng)
    return add_noise(samples, noise, _between(_NOISE_DB, strength), rng)


def _babble(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    # Backwards, so that no word of the recording comes a second time.
    voices = samples[-min(len(samples), 30 * SAMPLE_RATE) :][::-1].astype(np.float32)
    together = babble(voices, len(voices), rng)
    return add_noise(samples, together, _between(_BABBLE_DB, strength), rng)


def _level(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return samples * 10 ** (strength * rng.uniform(-20, 12) / 20)


def _clipping(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return clip_peaks(samples, _CLIPPED * strength * float(rng.uniform(0.5, 1.0)))


def _codec(samples: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    codec = LOSSY_CODECS[int(rng.integers(len(LOSSY_CODECS)))]
    heard = send_through(samples, SAMPLE_RATE, codec)
    return samples + strength * (heard - samples)


_VARIATIONS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "pitch": _pitch,
    "formants": _formants,
    "speaker": _speaker,
    "equaliser": _equaliser,
    "room": _room,
    "noise": _noise,
    "babble": _babble,
    "level": _level,
    "clipping": _clipping,
    "codec": _codec,
}


def _between(ends: tuple[float, float], strength: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * strength


def _held(samples: np.ndarray) -> np.ndarray:
    """Turned down where peaks would leave [-1, 1]: only "clipping" clips."""
    peak = float(np.abs(samples).max(initial=0))
    return (samples / max(peak, 1.0)).astype(np.float32)


def _check(samples: np.ndarray) -> None:
    check_shape("samples", samples, "S")
    if not np.isfinite(samples).all():
        raise ShapeError("the sound holds values that are not numbers", "Decode the file again.")
