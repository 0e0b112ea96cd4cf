"""Where somebody speaks: the probability of speech on the clock of the mel columns."""

from __future__ import annotations

import functools
import importlib.util
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.features import speech_columns
from metatalk.a2e.threads import one_thread
from metatalk.errors import MissingAssetError, ShapeError
from metatalk.lipsync.mel import HOP, SAMPLE_RATE, wav2lip_mel
from metatalk.shapes import check_shape

log = logging.getLogger(__name__)

CHUNK = 512  # samples at 16 kHz that get one probability, 32 ms

_CONTEXT = 64  # samples before a chunk that are heard with it
_WINDOW, _STRIDE = 256, 128  # of the spectrum
_BINS = _WINDOW // 2 + 1
_WIDTH = 128  # of the recurrent layer
_BLOCK = 512 * CHUNK  # samples heard at once: memory stays flat however long the recording
_LOUD = 0.05  # root mean square that quiet speech is lifted to before it is judged,
_MOST_GAIN = 100.0  # by this much at most,
_FORGET = 0.5 ** (CHUNK / SAMPLE_RATE / 5.0)  # as loud as the last seconds were: halved in five
_BLOCKS = 4  # parts of a chunk whose level is measured, 8 ms each
_AUDIBLE_DB = 25.0  # this far below the speech of the last seconds there is nothing to be heard,
_AUDIBLE_SHARE = 0.25  # nor in this share of the way from the pauses to the speech, where
_CLEAR_DB = 15.0  # at least this lies between them: in more noise the level tells little;
_FADE_DB = 20.0 * CHUNK / SAMPLE_RATE  # the speech is forgotten by this much a chunk,
_RISE_DB = 3.0 * CHUNK / SAMPLE_RATE  # and the pauses may have got as much louder
_PRE_EMPHASIS = 0.97  # else a hiss or an f would be nothing beside a vowel
_PACKAGE = "silero_vad"
_WEIGHTS = Path("data", "silero_vad_16k.safetensors")
_INSTALL = "pip install silero-vad, or set a2e.activity.detector=level."


def hear_speech(samples: np.ndarray, config: ActivityConfig | None = None) -> np.ndarray:
    """Find where somebody speaks in a whole recording.

    Args:
        samples: (S,) at 16 kHz in [-1, 1].
        config: which detector; by default the trained one where it is installed.

    Returns:
        (M,) float32 probability of speech, M = 1 + S // 200, column m at second m / 80. Judged
        by level, it is 0 or 1.

    Raises:
        ShapeError: the samples are not one-dimensional, or not finite.
        MissingAssetError: the trained detector was asked for and is not installed.
    """
    config = config or ActivityConfig()
    check_shape("samples", samples, "S")
    if not np.isfinite(samples).all():
        raise ShapeError("the sound holds values that are not numbers", "Decode the file again.")
    if config.detector == "level" or not stands_ready(config):
        return speech_columns(wav2lip_mel(samples)).astype(np.float32)
    detector = SpeechDetector()
    blocks = [
        detector.push(samples[first : first + _BLOCK]) for first in range(0, len(samples), _BLOCK)
    ]
    return np.concatenate([*blocks, detector.finish()])


class SpeechDetector:
    """Hears a recording or a live stream piece by piece; what it keeps does not grow.

    However the sound is cut into pieces, the columns are the same.
    """

    def __init__(self) -> None:
        self._network = load_silero()
        self._heard = np.zeros(_CONTEXT, np.float32)  # context, then what fills no chunk yet
        self._state = (torch.zeros(1, _WIDTH), torch.zeros(1, _WIDTH))
        self._last = self._loud = 0.0
        self._speech_db, self._pause_db = -np.inf, np.inf  # levels of late
        self._powers = np.zeros(2, np.float32)  # of the last two parts
        self._chunks = self._columns = self._samples = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Hear the next piece.

        Args:
            samples: (S,) at 16 kHz, any number.

        Returns:
            (N,) float32 probability of speech in the mel columns that have become known: those
            centred in chunks that are heard to their end.
        """
        check_shape("samples", samples, "S")
        self._samples += len(samples)
        # A sample that is no number would stay in the recurrent state for good.
        finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).astype(np.float32)
        return self._hear(np.concatenate([self._heard, finite]))

    def finish(self) -> np.ndarray:
        """Hear the last, unfilled chunk.

        Returns:
            (N,) float32, the columns that were still missing up to the sound's end.
        """
        rest = (len(self._heard) - _CONTEXT) % CHUNK
        filled = np.pad(self._heard, (0, CHUNK - rest if rest else 0))
        columns = self._hear(filled)
        missing = 1 + self._samples // HOP - self._columns
        # The chunk's silent filling may reach columns past the sound, or the sound's very end
        # may be the first sample of a chunk that does not exist.
        return np.pad(columns, (0, max(missing, 0)), constant_values=self._last)[
            : len(columns) + missing
        ]

    def _hear(self, heard: np.ndarray) -> np.ndarray:
        count = (len(heard) - _CONTEXT) // CHUNK
        self._heard = heard[count * CHUNK :]
        if count == 0:
            return np.zeros(0, np.float32)
        chunks = np.lib.stride_tricks.sliding_window_view(heard, _CONTEXT + CHUNK)[::CHUNK][:count]
        levelled = torch.from_numpy(chunks * self._gains(chunks)[:, None])
        with torch.inference_mode(), one_thread():
            values, self._state = self._network(levelled, self._state)
        speech = self._silence_gaps(chunks, values.numpy())  # (N, 4)
        first, self._chunks = self._chunks, self._chunks + count
        stop = -(-self._chunks * CHUNK // HOP)  # one past the last column that is centred in them
        part = np.arange(self._columns, stop) * HOP * _BLOCKS // CHUNK - first * _BLOCKS
        self._columns, self._last = stop, float(speech[-1, -1])
        columns: np.ndarray = speech.ravel()[part]
        return columns

    def _silence_gaps(self, chunks: np.ndarray, speech: np.ndarray) -> np.ndarray:
        """(N, 4) probabilities (N,) part by part, 0 where nothing is heard.

        The network stays sure of speech for a fifth of a second after its end; the mouth shuts.
        """
        high = chunks[:, _CONTEXT:] - _PRE_EMPHASIS * chunks[:, _CONTEXT - 1 : -1]
        powers = np.square(high).reshape(-1, CHUNK // _BLOCKS).mean(axis=1)
        powers, self._powers = np.concatenate([self._powers, powers]), powers[-2:]
        smooth = np.convolve(powers, np.full(3, 1 / 3, np.float32), mode="valid")
        levels = 10 * np.log10(smooth + 1e-12).reshape(-1, _BLOCKS)
        heard = np.empty_like(levels, dtype=np.float32)
        for row, (level, probability) in enumerate(zip(levels, speech, strict=True)):
            self._speech_db -= _FADE_DB
            self._pause_db = min(self._pause_db + _RISE_DB, level.min())
            if probability > 0.5:
                self._speech_db = max(self._speech_db, level.max())
            span, depth = self._speech_db - self._pause_db, _AUDIBLE_DB
            if span >= _CLEAR_DB:
                depth = min(depth, (1 - _AUDIBLE_SHARE) * span)
            bound = self._speech_db - depth
            heard[row] = np.where(level >= bound, probability, 0.0)
        return heard

    def _gains(self, chunks: np.ndarray) -> np.ndarray:
        """(N,) what each chunk is multiplied by: the network misses speech that is very quiet."""
        gains = np.ones(len(chunks), np.float32)
        for row, level in enumerate(np.sqrt(np.square(chunks).mean(axis=1))):
            self._loud = max(float(level), self._loud * _FORGET)
            gains[row] = min(max(_LOUD / max(self._loud, 1e-9), 1.0), _MOST_GAIN)
        return gains


class SileroNetwork(nn.Module):
    """The 16 kHz network of silero-vad: a spectrum, four convolutions and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _BINS, _WINDOW, stride=_STRIDE, bias=False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, _WIDTH, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(_WIDTH, _WIDTH)
        self.final_conv = nn.Conv1d(_WIDTH, 1, 1)

    def forward(
        self, chunks: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Judge chunks that follow one another.

        Args:
            chunks: (N, 576) samples, each chunk behind the last 64 of the one before.
            state: (1, 128) twice, as the chunk before left it; zeros at the start.

        Returns:
            (N,) probability of speech, and the state after the last chunk.

        Source: the safetensors file of silero-vad 6 and the layers its names and sizes say.
        """
        mirrored = nn.functional.pad(chunks[:, None], (0, _CONTEXT), mode="reflect")
        spectrum = self.stft_conv(mirrored)  # (N, 258, 4) real, then imaginary parts
        values = torch.hypot(spectrum[:, :_BINS], spectrum[:, _BINS:])
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            values = torch.relu(layer(values))
        steps = []
        for value in values[:, :, 0]:
            state = self.lstm_cell(value[None], state)
            steps.append(state[0])
        hidden = torch.relu(torch.cat(steps))[:, :, None]  # (N, 128, 1)
        return torch.sigmoid(self.final_conv(hidden))[:, 0, 0], state


@functools.cache
def load_silero() -> SileroNetwork:
    """Load the network from the installed silero-vad package.

    Returns:
        The network, ready to judge.

    Raises:
        MissingAssetError: the package is not installed, or carries other weights.
    """
    weights = find_silero()
    if weights is None:
        raise MissingAssetError("the speech detector silero-vad is not installed", _INSTALL)
    network = SileroNetwork()
    try:
        network.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise MissingAssetError(
            "the installed silero-vad carries another network than the one known here",
            f"pip install silero-vad==6.2.3, or set a2e.activity.detector=level. ({error})",
        ) from error
    return network.eval().requires_grad_(False)


def find_silero() -> Path | None:
    """Find the weights in the installed package without importing it.

    Importing it would hold the whole process to one thread.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / _WEIGHTS).is_file():
            return Path(folder) / _WEIGHTS
    return None


def stands_ready(config: ActivityConfig) -> bool:
    """Find out whether the trained detector can be used, and warn where it cannot.

    Args:
        config: which detector is asked for, `auto` or `silero`.

    Returns:
        Whether it is installed.

    Raises:
        MissingAssetError: it was asked for by name and is not installed, or the package carries
            other weights.
    """
    if config.detector == "silero" or find_silero() is not None:
        load_silero()
        return True
    log.warning(
        "silero-vad is not installed, so pauses are told by their level: music, breath and noise "
        "pass for speech. Better: pip install silero-vad"
    )
    return False
