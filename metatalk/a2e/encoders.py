"""What a network that learned from many voices hears in speech, on the clock of the mel."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from metatalk.a2e.encoder_config import BUILTIN, NONE, EncoderConfig
from metatalk.errors import ConfigError, MissingAssetError, ShapeError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, HOP, SAMPLE_RATE
from metatalk.onnx_runtime import open_onnx_runtime
from metatalk.shapes import check_shape
from metatalk.workspace.digest import digest_path

WINDOW_S, CONTEXT_S = 4.0, 1.0  # heard at once; of it, before and after what is new

_BUILTIN_PACKAGE = "moonshine_voice"
_BUILTIN_FILE = Path("assets", "tiny-en", "encoder_model.ort")
_BUILTIN_SHA256 = "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221"
_BUILTIN_TERMS = "MIT; Moonshine AI, package moonshine-voice"
_BUILTIN_REMEDY = 'pip install "moonshine-voice>=0.0.66,<=0.1.0", or set a2e.encoder.source=none'
_BLOCK_COLUMNS = 4800  # a minute
_LEAST = SAMPLE_RATE  # samples; shorter sound is filled up with silence
_FATAL = 4  # onnxruntime's highest level of logging
_MOST_FIELD = 1 << 16  # samples; an encoder that needs more for its first frame is none of speech


@dataclass(frozen=True)
class FrameGrid:
    """Where an encoder's frames lie: frame t of a window is centred on sample t hop + centre."""

    hop: int  # samples from frame to frame
    field: int  # samples that the first frame is computed from
    centre: float  # of the first frame, samples from the window's beginning

    def samples(self, frames: int) -> int:
        """How long a window of so many frames is, in samples."""
        return (frames - 1) * self.hop + self.field


@dataclass(frozen=True, eq=False)
class SpeechEncoder:
    """A network from sound to vectors that say what is spoken, whoever speaks."""

    name: str
    size: int  # D
    grid: FrameGrid
    run: Callable[[np.ndarray], np.ndarray]  # (S,) float32 at 16 kHz -> (T, D) float32
    terms: str  # under which it came
    digest: str  # of its weights
    window_s: float = WINDOW_S
    context_s: float = CONTEXT_S

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.context_s < self.window_s:
            raise ConfigError(
                f"an encoder's window of {self.window_s} s has {self.context_s} s of context",
                "Give a context below half of the window.",
            )
        if self._step_frames() > self._window_frames():
            raise ConfigError(
                f"an encoder's window of {self.window_s} s is too short for its frames",
                f"Give {WINDOW_S:.0f} s.",
            )

    def encode(self, samples: np.ndarray, columns: int) -> np.ndarray:
        """Hear a recording, a window after the other.

        Windows overlap by twice the context and are blended by a triangle over it, so that
        what is heard at a moment hangs on the sound around it and not on the recording's
        length: further than `window_s` from its ends a piece of a recording, cut at a multiple
        of `step_samples`, sounds as it does inside the whole.

        Args:
            samples: (S,) speech at 16 kHz in [-1, 1].
            columns: M, of the result; past the end of the sound silence is heard.

        Returns:
            (D, M) float32; column i is at second i / 80.

        Raises:
            ShapeError: the samples are not one-dimensional, or not finite.
        """
        check_shape("samples", samples, "S")
        if not np.isfinite(samples).all():
            raise ShapeError("the sound holds values that are not numbers", "Decode the file again")
        if columns == 0:
            return np.zeros((self.size, 0), np.float32)
        frames = self._blended(samples.astype(np.float32), columns)
        return _at_columns(frames, self._first_centre(), self.grid.hop, columns)

    @property
    def step_samples(self) -> int:
        """From window to window; whole columns of the mel."""
        return self._step_frames() * self.grid.hop

    def _window_frames(self) -> int:
        whole = int(self.window_s * SAMPLE_RATE)
        return max(2, (whole - self.grid.field) // self.grid.hop + 1)

    def _step_frames(self) -> int:
        overlap = round(2 * self.context_s * SAMPLE_RATE / self.grid.hop)
        whole = math.lcm(HOP, self.grid.hop) // self.grid.hop  # so many frames are whole columns
        return max(whole, (self._window_frames() - overlap) // whole * whole)

    def _first_centre(self) -> float:
        """Where frame 0 of a recording is centred: on its first sample, or half of one beside."""
        return self.grid.centre - int(self.grid.centre)

    def _blended(self, samples: np.ndarray, columns: int) -> np.ndarray:
        """(T, D) frames, the first of them at the recording's first sample."""
        total = -(-((columns - 1) * HOP) // self.grid.hop) + 1
        window, step = self._window_frames(), self._step_frames()
        frames = np.zeros((total, self.size), np.float32)
        weights = np.zeros((total, 1), np.float32)
        context = (window - step) // 2
        # The first window begins its context before the recording; one that would bring only
        # what lies inside the window before it is left out.
        for begin in range(-context, max(total - context, 1), step):
            first, last = max(begin, 0), min(begin + window, total)
            place = np.arange(first, last, dtype=np.float32) - begin + 0.5
            weight = np.minimum(place, window - place)[:, None]
            # Silence fills a window up at the ends: in a shorter one it would hear otherwise.
            heard = self._heard(samples, begin, begin + window)[first - begin : last - begin]
            frames[first:last] += weight * heard
            weights[first:last] += weight
        return frames / weights

    def _heard(self, samples: np.ndarray, first: int, last: int) -> np.ndarray:
        """(T, D) frames [first, last) of one window."""
        start = first * self.grid.hop - int(self.grid.centre)
        length = self.grid.samples(last - first)
        inside = samples[max(start, 0) : max(start + length, 0)]
        before = max(-start, 0)
        filled = np.zeros(max(length, _LEAST), np.float32)
        filled[before : before + len(inside)] = inside
        heard = self.run(filled)[: last - first]
        check_shape("frames of the encoder", heard, "T D", T=last - first, D=self.size)
        return heard


def open_encoder(config: EncoderConfig) -> SpeechEncoder | None:
    """Open the encoder that the settings name.

    Args:
        config: which.

    Returns:
        The encoder; None where none is wanted.

    Raises:
        MissingAssetError: its file or a package that runs it is not there.
        ConfigError: its file is no encoder of speech, or has no such layer.
    """
    if config.source == NONE:
        return None
    if config.source == BUILTIN:
        return builtin_encoder()
    path = Path(config.source).expanduser()
    if path.is_dir():
        from metatalk.a2e.checkpoint_encoders import transformers_encoder

        return transformers_encoder(path, config.layer)
    return onnx_encoder(path)


def has_builtin_encoder() -> bool:
    """Whether the package that brings the built-in encoder is installed."""
    return importlib.util.find_spec(_BUILTIN_PACKAGE) is not None


def builtin_encoder() -> SpeechEncoder:
    """Open the encoder that comes with the package moonshine-voice.

    It is the encoder of Moonshine tiny for English, in eight bits; 41 2/3 frames a second.

    Returns:
        The encoder, of size 288.

    Raises:
        MissingAssetError: the package is not there, or does not bring the known weights.

    Source: Jeffries et al. 2024 (Moonshine), section 3.
    """
    found = importlib.util.find_spec(_BUILTIN_PACKAGE)  # importing it would start its library
    if found is None or not found.submodule_search_locations:
        raise MissingAssetError("the built-in speech encoder is not installed", _BUILTIN_REMEDY)
    path = Path(next(iter(found.submodule_search_locations))) / _BUILTIN_FILE
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != _BUILTIN_SHA256:
        raise MissingAssetError(
            f"{path} is not the known speech encoder", f"another release has it: {_BUILTIN_REMEDY}"
        )
    grid = FrameGrid(hop=384, field=895, centre=447.0)  # kernels 127, 7, 3; strides 64, 3, 2
    return _onnx_from(content, "moonshine-tiny-en", _BUILTIN_TERMS, _BUILTIN_SHA256, grid)


def onnx_encoder(path: Path) -> SpeechEncoder:
    """Open an encoder from a file that onnxruntime runs.

    Its first input is (1, S) sound at 16 kHz, a second one may be an (1, S) int64 mask; its
    first output is (1, T, D). Hop and centre are found by asking how many frames come of how
    many samples, which holds for convolutions without padding or with the same on both sides.

    Args:
        path: a file .onnx or .ort.

    Returns:
        The encoder.

    Raises:
        MissingAssetError: there is no such file, or onnxruntime is not there.
        ConfigError: the file does not go from sound to frames.
    """
    if not path.is_file():
        raise MissingAssetError(
            f"{path}: no speech encoder there",
            "a2e.encoder.source names a folder of transformers or a file .onnx; check the path",
        )
    return _onnx_from(path.read_bytes(), path.stem, "the user's own", digest_path(path))


def _onnx_from(
    content: bytes, name: str, terms: str, digest: str, grid: FrameGrid | None = None
) -> SpeechEncoder:
    runtime = _onnxruntime()
    session = _session(runtime, content, name)
    mask = [given.name for given in session.get_inputs()[1:2]]
    sound = session.get_inputs()[0].name

    def run(samples: np.ndarray) -> np.ndarray:
        fed = {sound: samples[None], **{key: np.ones((1, len(samples)), np.int64) for key in mask}}
        return np.asarray(session.run(None, fed)[0][0], np.float32)

    grid = grid or _measure_grid(_counter(run), name)
    size = run(np.zeros(max(grid.field, _LEAST), np.float32)).shape[-1]
    return SpeechEncoder(name, size, grid, run, terms, digest)


def _session(runtime: ModuleType, content: bytes, name: str) -> Any:
    options = runtime.SessionOptions()
    # One thread: sums in one order, and cores left to others.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL  # the search for the first frame fails by design
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen exceptions without a common parent
        raise _no_encoder(name, str(error)) from error


def _counter(run: Callable[[np.ndarray], np.ndarray]) -> Callable[[int], int]:
    def count(samples: int) -> int:
        try:
            return len(run(np.zeros(samples, np.float32)))
        except Exception:  # too short for the convolutions, in onnxruntime's own words
            return 0

    return count


def _measure_grid(count: Callable[[int], int], name: str) -> FrameGrid:
    """Find hop and field by the lengths at which another frame comes."""
    if count(_MOST_FIELD) < 2:
        raise _no_encoder(name, "it gives no frames for four seconds of sound")
    first = _shortest(count, 1)
    hop = _shortest(count, count(first) + 1) - first
    return FrameGrid(hop, first, (first - 1) / 2)


def _shortest(count: Callable[[int], int], frames: int) -> int:
    low, high = 0, _MOST_FIELD  # too short, long enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count(middle) >= frames else (middle, high)
    return high


def _onnxruntime() -> ModuleType:
    try:
        return open_onnx_runtime()
    except ImportError as error:
        raise MissingAssetError(
            "onnxruntime, which runs the speech encoder, is not installed",
            "pip install onnxruntime, or set a2e.encoder.source=none",
        ) from error


def _no_encoder(name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{name} is no speech encoder ({reason})",
        "give a model from (1, S) sound at 16 kHz to (1, T, D) frames",
    )


def _at_columns(frames: np.ndarray, centre: float, hop: int, columns: int) -> np.ndarray:
    """(T, D) frames to (D, M) columns, on the line between the frames beside each column."""
    out = np.empty((frames.shape[1], columns), np.float32)
    for first in range(0, columns, _BLOCK_COLUMNS):  # no second copy of a long recording
        at = np.arange(first, min(first + _BLOCK_COLUMNS, columns))
        place = (at * (SAMPLE_RATE / COLUMNS_PER_SECOND) - centre) / hop
        place = np.clip(place, 0, len(frames) - 1)
        low = np.minimum(place.astype(int), max(len(frames) - 2, 0))
        share = (place - low).astype(np.float32)[:, None]
        high = np.minimum(low + 1, len(frames) - 1)
        out[:, at] = (frames[low] * (1 - share) + frames[high] * share).T
    return out
