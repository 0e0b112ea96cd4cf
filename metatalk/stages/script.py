"""What is said in a recording and when, as far as it is known: a TextGrid, a text, or by ear."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.closure import close_lips
from metatalk.a2e.closure_config import ClosureConfig
from metatalk.a2e.lip_meter import LipMeter
from metatalk.a2e.phone_alignment import align_transcript
from metatalk.a2e.phone_hearing import hear_phones
from metatalk.a2e.phone_times import PhoneTimes
from metatalk.a2e.stop_closures import find_stop_closures
from metatalk.a2e.targets import MouthSpace
from metatalk.errors import ConfigError, MediaError, MissingAssetError
from metatalk.interchange.textgrid import read_textgrid
from metatalk.lipsync.mel import COLUMNS_PER_SECOND
from metatalk.media.audio import read_sound

LOG = logging.getLogger(__name__)
_RATE = 16_000
_NEAR_SPEECH_S = 0.05  # a stop's silence lies beside what is told for speech
_SURE = 0.999  # confidence of a phone that was given


@dataclass(frozen=True)
class Script:
    """What the user knows about the recording's words; nothing has to be known."""

    phones: Path | None = None  # a TextGrid
    transcript: str | None = None  # English
    file: Path | None = None  # that the transcript was read from

    def __post_init__(self) -> None:
        if self.phones is not None and self.transcript is not None:
            raise ConfigError(
                "both --phones and --transcript say what is said", "give the TextGrid alone"
            )


def script_of(phones: Path | None, transcript: str | None) -> Script:
    """The script that two options name: a TextGrid, and a text or its file."""
    if transcript is None:
        return Script(phones)
    return Script(phones, read_transcript(transcript), _file_of(transcript))


def _file_of(words: str) -> Path | None:
    try:
        return Path(words) if Path(words).is_file() else None
    except OSError:  # a text may be too long for a file's name
        return None


def read_transcript(words: str) -> str:
    """The text that an option names: a file's content where there is such a file, else itself.

    Raises:
        MediaError: the file is not a text.
    """
    path = _file_of(words)
    if path is None:
        return words
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise MediaError(f"{path}: not a text", "save the transcript as plain UTF-8") from error


def script_phones(script: Script, samples: np.ndarray) -> PhoneTimes:
    """Find when the phones that matter to the lips are spoken, by the best means there is.

    Args:
        script: what is known.
        samples: (S,) the recording at 16 kHz.

    Returns:
        From the TextGrid, else aligned to the transcript, else heard by the English acoustic
        model, else, without pocketsphinx, guessed from the dips of the sound.

    Raises:
        MetatalkError: the TextGrid or the transcript cannot be used.
    """
    if script.phones is not None:
        return read_textgrid(script.phones)
    if script.transcript is not None:
        return align_transcript(samples, script.transcript)
    try:
        return hear_phones(samples)
    except MissingAssetError as error:
        LOG.info("%s: closures are guessed from the sound alone", error.problem)
        return find_stop_closures(samples)


def close_spoken_lips(
    spoken: np.ndarray,
    audio: Path,
    seconds: np.ndarray,
    space: MouthSpace,
    meter: LipMeter,
    script: Script,
    config: ClosureConfig,
    activity: ActivityConfig | None = None,
    predicted: np.ndarray | None = None,
) -> np.ndarray:
    """Close the lips of a spoken face on p, b and m.

    A phone that was only heard counts where somebody speaks: breath and music sound like stops.

    Args:
        spoken: (N, E) the expression that the recording asks for.
        audio: the recording.
        seconds: (N,) times of the result's frames.
        space: the actor's mouth space.
        meter: of the actor's lips.
        script: what is known of the words.
        config: strength and speed.
        activity: how speech is told from what is none.
        predicted: (N, E) the same before it was tuned; None: `spoken`.

    Returns:
        (N, E) float32.

    Raises:
        MetatalkError: the TextGrid or the transcript cannot be used.
    """
    if config.strength == 0:
        return spoken
    samples = read_sound(audio, _RATE).samples
    phones = _in_speech(script_phones(script, samples), samples, activity or ActivityConfig())
    return close_lips(spoken, seconds, phones, space, meter, config, predicted)


def _in_speech(phones: PhoneTimes, samples: np.ndarray, activity: ActivityConfig) -> PhoneTimes:
    """The phones that are known for sure, or lie where somebody speaks."""
    speech = hear_speech(samples, activity) >= activity.hold
    first = np.floor((phones.starts - _NEAR_SPEECH_S) * COLUMNS_PER_SECOND).astype(int).clip(0)
    last = np.ceil((phones.ends + _NEAR_SPEECH_S) * COLUMNS_PER_SECOND).astype(int).clip(1)
    spoken = [bool(speech[a:b].any()) for a, b in zip(first, last, strict=True)]
    return phones.take(np.flatnonzero((phones.confidence >= _SURE) | np.array(spoken, bool)))
