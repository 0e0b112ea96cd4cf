"""The English acoustic model that pocketsphinx carries: how well every sound fits every moment."""

from __future__ import annotations

import functools
import importlib
import struct
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from metatalk.errors import MissingAssetError
from metatalk.shapes import check_shape

SAMPLE_RATE = 16_000
FRAMES_PER_SECOND = 100
FRAME_CENTRE_S = 0.0128  # of frame 0: half of the model's window of 25.6 ms
STATES = 3  # of every phone: its beginning, middle and end

_NATS = 1024 * np.log(1.0001)  # what one unit of a score is worth: pocketsphinx's log base, >> 10
_BLOCK_S, _AROUND_S = 20, 1  # a block's own mean is taken off its cepstra, so it must not be short
_LEAST_SAMPLES = 1600
_DITHER = 1.0  # standard deviation in 16-bit steps: the logarithm of nothing is never taken
_REMEDY = "pip install 'pocketsphinx>=5.1': its wheel carries the English model"


def load_pocketsphinx() -> ModuleType:
    """Import pocketsphinx, which not everybody needs.

    Raises:
        MissingAssetError: it is not installed.
    """
    try:
        return importlib.import_module("pocketsphinx")
    except ImportError as error:
        raise MissingAssetError("phones need pocketsphinx, which is not installed", _REMEDY) from (
            error
        )


def model_folder() -> Path:
    """Find the English model inside pocketsphinx.

    Raises:
        MissingAssetError: pocketsphinx or its model is not there.
    """
    folder = Path(load_pocketsphinx().get_model_path()) / "en-us"
    if not (folder / "en-us" / "mdef").is_file():
        raise MissingAssetError(f"{folder}: the English acoustic model is not there", _REMEDY)
    return folder


@functools.cache
def model_phones() -> tuple[str, ...]:
    """The names of the model's phones, silence ("SIL") and noises ("+NSN+") among them."""
    return _read_definitions()[0]


def state_scores(samples: np.ndarray, around_s: float = _AROUND_S) -> np.ndarray:
    """Score every phone's states at every moment.

    A state of a phone sounds differently beside other phones; the one of its variants that fits
    best counts.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1]; what is not a number counts as silence.
        around_s: seconds of sound before and after each block that are heard with it.

    Returns:
        (T, P, 3) float32 log-likelihoods, at most 0, the best sound of a moment being near 0;
        row t is at second `FRAME_CENTRE_S` + t / 100, phone p is `model_phones()[p]`. Memory
        beside the result does not grow with the recording.

    Raises:
        MissingAssetError: pocketsphinx is not installed.
        ShapeError: the samples are not one-dimensional.
    """
    check_shape("samples", samples, "S")
    frames = len(samples) * FRAMES_PER_SECOND // SAMPLE_RATE
    hop = SAMPLE_RATE // FRAMES_PER_SECOND
    block, around = _BLOCK_S * FRAMES_PER_SECOND, round(around_s * FRAMES_PER_SECOND)
    found = np.zeros((frames, len(model_phones()), STATES), np.float32)
    for first in range(0, frames, block):
        start, end = max(first - around, 0), min(first + block, frames)
        heard = _score_block(to_pcm(samples[start * hop : (end + around) * hop], start))
        kept = heard[first - start : end - start]
        found[first : first + len(kept)] = kept
        found[first + len(kept) : end] = heard[-1]  # the last window does not fit into the sound
    return found


def to_pcm(samples: np.ndarray, seed: int) -> np.ndarray:
    """16-bit sound with dither, long enough for one frame."""
    known = np.clip(np.nan_to_num(samples.astype(np.float64), posinf=0.0, neginf=0.0), -1, 1)
    known = np.pad(known, (0, max(_LEAST_SAMPLES - len(known), 0)))
    dither = np.random.default_rng(seed).normal(0.0, _DITHER, len(known))
    return np.clip(np.round(known * 32_000 + dither), -32_768, 32_767).astype("<i2")


def _score_block(pcm: np.ndarray) -> np.ndarray:
    """(T, P, 3) scores of a stretch of 16-bit sound."""
    sphinx, folder = load_pocketsphinx(), model_folder()
    names, order, starts = _read_definitions()
    with tempfile.TemporaryDirectory() as scratch:
        # The search is of no interest, its beams are shut; the scores come by way of a log.
        decoder = sphinx.Decoder(
            hmm=str(folder / "en-us"),
            allphone=str(folder / "en-us-phone.lm.bin"),
            lm=None,
            dict=None,
            beam=1e-2,
            pbeam=1e-2,
            loglevel="FATAL",
            senlogdir=scratch,
            compallsen=True,
        )
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        del decoder  # closes the log
        log = next(Path(scratch).glob("*.sen")).read_bytes()
    scores = _read_log(log, len(order))[:, order]
    best = np.minimum.reduceat(scores, starts, axis=1)
    return -_NATS * best.reshape(len(best), len(names), STATES).astype(np.float32)


def _read_log(log: bytes, senones: int) -> np.ndarray:
    """(T, N) int16 scores from pocketsphinx's senone log, smaller being better."""
    start = log.index(b"endhdr\n") + len(b"endhdr\n") + 4
    row = 1 + senones  # how many there are, then the scores
    rows = np.frombuffer(log, "<i2", offset=start)
    rows = rows[: len(rows) // row * row].reshape(-1, row)
    if not len(rows) or not (rows[:, 0] == senones).all():
        raise MissingAssetError("pocketsphinx wrote its scores in an unknown way", _REMEDY)
    scores: np.ndarray = rows[:, 1:]
    return scores


@functools.cache
def _read_definitions() -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names of the phones; the senones in order of phone and state; where each state begins.

    Source: the layout is written out at the head of the file itself.
    """
    content = (model_folder() / "en-us" / "mdef").read_bytes()
    if content[:4] != b"BMDF":
        raise MissingAssetError("the acoustic model's mdef has an unknown layout", _REMEDY)
    place = 12 + struct.unpack_from("<i", content, 8)[0]
    count, triphones, states, _, senones, _, sequences, _, nodes, _ = struct.unpack_from(
        "<10i", content, place
    )
    if states != STATES:
        raise MissingAssetError(f"the acoustic model has {states} states a phone, not 3", _REMEDY)
    place += 40
    ends = np.flatnonzero(np.frombuffer(content, "u1", 16 * count, place) == 0)[:count]
    text = content[place : place + int(ends[-1])]
    names = tuple(name.decode("ascii") for name in text.split(b"\0"))
    place += -(-(int(ends[-1]) + 1) // 4) * 4 + 8 * nodes
    entry = np.dtype([("sequence", "<i4"), ("transitions", "<i4"), ("attributes", "i1", 4)])
    phones = np.frombuffer(content, entry, triphones, place)
    place += entry.itemsize * triphones + 4
    table = np.frombuffer(content, "<i2", sequences * STATES, place).reshape(-1, STATES)
    base = np.where(np.arange(triphones) < count, np.arange(triphones), phones["attributes"][:, 1])
    owner = np.zeros(senones, np.int64)  # every senone belongs to one state of one phone
    owner[table[phones["sequence"]]] = base[:, None] * STATES + np.arange(STATES)
    order = np.argsort(owner, kind="stable")
    return names, order, np.searchsorted(owner[order], np.arange(count * STATES))
