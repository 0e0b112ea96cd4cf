"""When each phone of a known English text is spoken."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from metatalk.a2e.phone_times import PhoneTimes, phone_times
from metatalk.a2e.senones import (
    FRAMES_PER_SECOND,
    STATES,
    load_pocketsphinx,
    model_folder,
    model_phones,
    state_scores,
    to_pcm,
)
from metatalk.errors import MediaError
from metatalk.shapes import check_shape

LOG = logging.getLogger(__name__)
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# How a word that no dictionary has may sound; longest spelling first. Lips are what matters.
_SPELT = (
    ("tch", "CH"), ("sch", "SH"), ("igh", "AY"), ("ph", "F"), ("th", "TH"), ("sh", "SH"),
    ("ch", "CH"), ("ck", "K"), ("ng", "NG"), ("wh", "W"), ("qu", "K W"), ("gh", ""), ("oo", "UW"),
    ("ee", "IY"), ("ea", "IY"), ("ou", "AW"), ("ow", "OW"), ("ai", "EY"), ("ay", "EY"),
    ("au", "AO"), ("aw", "AO"), ("oi", "OY"), ("oy", "OY"), ("ie", "IY"), ("x", "K S"),
    ("a", "AE"), ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH"), ("f", "F"), ("g", "G"),
    ("h", "HH"), ("i", "IH"), ("j", "JH"), ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"),
    ("o", "OW"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("u", "AH"),
    ("v", "V"), ("w", "W"), ("y", "IY"), ("z", "Z"),
)  # fmt: skip


def align_transcript(samples: np.ndarray, text: str) -> PhoneTimes:
    """Find when each phone of an English text is spoken.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].
        text: all that is said, in order; case and punctuation do not count.

    Returns:
        The phones in ARPAbet, pauses as "SIL".

    Raises:
        MissingAssetError: pocketsphinx is not installed.
        MediaError: the text holds no words, or the recording does not say them.
        ShapeError: the samples are not one-dimensional.
    """
    check_shape("samples", samples, "S")
    words = split_words(text)
    if not words:
        raise MediaError("the transcript holds no words", "write out what is said, in English")
    spoken = _find_words(samples, words)
    scores = state_scores(samples)
    found: list[tuple[float, float, str]] = []
    for sounds, first, end in spoken:
        numbers = [model_phones().index(sound) for sound in sounds]
        edges = first + split_by_phones(scores[first:end, numbers])
        times = edges / FRAMES_PER_SECOND
        found += [(times[i], times[i + 1], sound) for i, sound in enumerate(sounds)]
    return phone_times(found)


def split_words(text: str) -> list[str]:
    """Bring a text into the dictionary's spelling.

    >>> split_words("It's 42 — please!")
    ["it's", 'four', 'two', 'please']
    """
    plain = text.lower().replace("\u2019", "'")
    plain = re.sub(r"\d", lambda found: f" {_DIGITS[int(found[0])]} ", plain)
    return [word for word in re.findall(r"[a-z']+", plain) if word.strip("'")]


def spell_phones(word: str) -> str:
    """Guess how a word sounds from its letters.

    >>> spell_phones("phlim")
    'F L IH M'
    """
    sounds, rest = [], word.replace("'", "")
    while rest:
        letters, sound = next(
            ((letters, sound) for letters, sound in _SPELT if rest.startswith(letters)),
            (rest[0], ""),
        )
        sounds += sound.split()
        rest = rest[len(letters) :]
    return " ".join(sounds) or "AH"


def split_by_phones(scores: np.ndarray) -> np.ndarray:
    """Part a word's frames among its phones so that they fit best.

    Args:
        scores: (T, N, 3) log-likelihoods of the states of the word's N phones in order.

    Returns:
        (N + 1,) frames at which the phones begin and the last one ends; evenly spaced where the
        word is too short for all states.

    Source: Viterbi's algorithm over a chain in which every state lasts a frame or more.
    """
    sizes = check_shape("scores", scores, f"T N {STATES}")
    frames, count = sizes["T"], sizes["N"]
    fits = scores.reshape(frames, -1)
    if frames < fits.shape[1]:
        return np.round(np.linspace(0, frames, count + 1)).astype(int)
    best = np.full(fits.shape[1], -np.inf)
    best[0] = fits[0, 0]
    moved = np.zeros(fits.shape, bool)
    for t in range(1, frames):
        come = np.concatenate(([-np.inf], best[:-1]))
        moved[t] = come > best
        best = np.maximum(best, come) + fits[t]
    edges, state = [frames], fits.shape[1] - 1
    for t in range(frames - 1, 0, -1):
        if moved[t, state]:
            if state % STATES == 0:
                edges.append(t)
            state -= 1
    return np.array([0, *edges[::-1]])


def _find_words(
    samples: np.ndarray, words: Sequence[str]
) -> list[tuple[tuple[str, ...], int, int]]:
    """The phones of every word and pause, and its first frame and one past its last."""
    decoder = load_pocketsphinx().Decoder(
        hmm=str(model_folder() / "en-us"),
        dict=str(model_folder() / "cmudict-en-us.dict"),
        lm=None,
        loglevel="FATAL",
    )
    _teach_words(decoder, words)
    try:
        decoder.set_align_text(" ".join(words))
        decoder.start_utt()
        decoder.process_raw(to_pcm(samples, 0).tobytes(), full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp() is not None
    except RuntimeError:  # all that pocketsphinx says when the words do not fit
        heard = False
    if not heard:
        raise MediaError(
            "the recording does not say the words of the transcript",
            "give all the words that are said, in English and in order, or leave it out",
        )
    spoken = []
    for part in decoder.seg():
        sounds = decoder.lookup_word(part.word)
        sounds = tuple(sounds.split()) if sounds and part.word[:1] != "<" else ("SIL",)
        if part.end_frame >= part.start_frame:
            spoken.append((sounds, part.start_frame, part.end_frame + 1))
    return spoken


def _teach_words(decoder: Any, words: Sequence[str]) -> None:
    unknown = sorted({word for word in words if decoder.lookup_word(word) is None})
    if unknown:
        LOG.warning("not in the dictionary, sounded out by spelling: %s", ", ".join(unknown))
    for word in unknown:
        decoder.add_word(word, spell_phones(word), True)
