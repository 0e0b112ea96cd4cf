"""Synthetic speech and the time of every phone in it, by espeak-ng.

espeak-ng (GPL-3) runs inside this tool only; what it says is ours.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import espeakng_loader
import numpy as np

RETRIEVE_SOUND = 1  # espeak_AUDIO_OUTPUT: AUDIO_OUTPUT_RETRIEVAL
PHONEME_EVENTS = 1  # espeakINITIALIZE_PHONEME_EVENTS
CHARACTERS_UTF8 = 1
EVENT_END, EVENT_PHONEME = 0, 7  # espeak_EVENT_TYPE: LIST_TERMINATED and PHONEME
RATE, PITCH, RANGE, GAP = 1, 3, 4, 7  # espeak_PARAMETER
BUFFER_MS = 200
STOPS = ("p", "b", "t", "d", "k", "g")
HOP_S, QUIET, LONGEST_CLOSURE_S = 0.005, 0.012, 0.10


@dataclass(frozen=True)
class Voice:
    """How espeak-ng is to speak."""

    name: str  # language and variant, such as "en-us+m3"
    words_per_minute: int = 160
    pitch: int = 50  # 0 to 100
    pitch_range: int = 60  # 0 to 100
    word_gap: int = 0  # units of 10 ms


@dataclass(frozen=True)
class Phone:
    """One speech sound in espeak-ng's spelling."""

    start_s: float
    end_s: float
    name: str  # stress marks removed; "_" is silence
    stressed: bool


@dataclass(frozen=True, eq=False)
class Speech:
    """What was said, and when."""

    samples: np.ndarray  # (S,) float32 in [-1, 1]
    rate: int
    phones: tuple[Phone, ...]  # without gaps, from 0 to the end

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return len(self.samples) / self.rate


class _Name(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8),
    ]  # fmt: skip


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def speak(text: str, voice: Voice) -> Speech:
    """Say a text.

    Args:
        text: English.
        voice: who says it.

    Returns:
        The sound and its phones.

    Raises:
        RuntimeError: espeak-ng does not know the voice, or says nothing.
    """
    library, rate = _open_library()
    blocks: list[np.ndarray] = []
    marks: list[tuple[float, str]] = []

    def take(samples, count, events):  # type: ignore[no-untyped-def]
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        marks.extend(_phoneme_marks(events))
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice {voice.name!r}")
    settings = {
        RATE: voice.words_per_minute, PITCH: voice.pitch,
        RANGE: voice.pitch_range, GAP: voice.word_gap,
    }  # fmt: skip
    for parameter, value in settings.items():
        library.espeak_SetParameter(parameter, value, 0)
    words = " ".join(text.split()).encode() + b"\0"
    library.espeak_Synth(words, len(words), 0, 0, 0, CHARACTERS_UTF8, None, None)
    library.espeak_Synchronize()
    if not blocks:
        raise RuntimeError("espeak-ng said nothing")
    samples = np.concatenate(blocks).astype(np.float32) / 32768.0
    return Speech(samples, rate, _phones(marks, samples, rate))


def level(speech: Speech, loudness: float = 0.09) -> Speech:
    """The same speech as loud as speech is: RMS `loudness`, peaks below full scale."""
    loud = speech.samples * (loudness / np.sqrt(np.mean(speech.samples**2)))
    return replace(speech, samples=(0.95 * np.tanh(loud / 0.95)).astype(np.float32))


def with_silence(speech: Speech, seconds: float) -> Speech:
    """The same speech with silence before and after it."""
    pause = np.zeros(round(seconds * speech.rate), np.float32)
    start, end = len(pause) / speech.rate, 2 * len(pause) / speech.rate + speech.duration_s
    moved = [
        replace(phone, start_s=phone.start_s + start, end_s=phone.end_s + start)
        for phone in speech.phones
    ]
    if moved[0].name == "_":
        moved[0] = replace(moved[0], start_s=0.0)
    else:
        moved.insert(0, Phone(0.0, start, "_", False))
    if moved[-1].name == "_":
        moved[-1] = replace(moved[-1], end_s=end)
    else:
        moved.append(Phone(moved[-1].end_s, end, "_", False))
    return Speech(np.concatenate([pause, speech.samples, pause]), speech.rate, tuple(moved))


@functools.cache
def _open_library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(RETRIEVE_SOUND, BUFFER_MS, data, PHONEME_EVENTS)
    if rate <= 0:
        raise RuntimeError("espeak-ng does not start")
    return library, rate


def _phoneme_marks(events) -> Iterator[tuple[float, str]]:  # type: ignore[no-untyped-def]
    number = 0
    while events[number].type != EVENT_END:
        event = events[number]
        if event.type == EVENT_PHONEME:
            raw = bytes(event.id.string)
            yield event.audio_position / 1000.0, raw.split(b"\0")[0].decode("utf-8", "replace")
        number += 1


def _phones(marks: list[tuple[float, str]], samples: np.ndarray, rate: int) -> tuple[Phone, ...]:
    """Phones from their beginnings, without gaps."""
    end_s = len(samples) / rate
    if not marks or marks[0][0] > 0.0:
        marks = [(0.0, "_"), *marks]
    starts = np.array([start for start, _ in marks] + [end_s])
    _share_instants(starts)
    _give_closures_to_stops(starts, [name for _, name in marks], samples, rate)
    phones: list[Phone] = []
    for (_, name), start, end in zip(marks, starts[:-1], starts[1:], strict=True):
        plain = name.strip("',%=|_:;-!^ #") or "_"
        if plain == "_" and phones and phones[-1].name == "_":
            phones[-1] = replace(phones[-1], end_s=float(end))
        elif end - start > 1e-4:
            phones.append(Phone(float(start), float(end), plain, "'" in name))
    return tuple(phones)


def _share_instants(starts: np.ndarray) -> None:
    """Two phones that begin at once: the first takes the end of the phone before it."""
    for number in range(1, len(starts) - 1):
        if starts[number + 1] - starts[number] < 1e-4:
            starts[number] -= 0.4 * (starts[number] - starts[number - 1])


def _give_closures_to_stops(
    starts: np.ndarray, names: list[str], samples: np.ndarray, rate: int
) -> None:
    """A stop's event marks its burst; the silence before it is the stop's, too."""
    hop = int(HOP_S * rate)
    for number in range(1, len(names)):
        if not names[number].strip("',%=|_:").startswith(STOPS):
            continue
        begin = max(starts[number - 1] + 0.02, starts[number] - LONGEST_CLOSURE_S)
        while starts[number] - HOP_S > begin:
            end = int(starts[number] * rate)
            if np.sqrt(np.mean(samples[end - hop : end] ** 2)) > QUIET:
                break
            starts[number] -= HOP_S
