"""The mouth of a live stream: every frame as soon as the sound that it depends on is heard."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.architectures.interface import STEPS_PER_SECOND, STRIDE
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.hearing import Ears, Sound, reopen_ears
from metatalk.a2e.model import MouthModel
from metatalk.a2e.predict import perform_steps, sample_steps
from metatalk.a2e.rest import SpeechGate
from metatalk.a2e.running_stats import RunningStatistics, Statistics
from metatalk.errors import ConfigError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, HOP, SAMPLE_RATE, WINDOW
from metatalk.shapes import check_shape

_LEAST_BACK = 24  # columns; the statistics miss none, however short the network's reach
_TOGETHER = 5  # frames, where a stream listens to whole windows and one frame costs as much as ten
_FASTEST_ATTACK_S = 0.05  # in which a mouth that is late comes out of its rest
_GATE_LATE = 2  # columns that a detector may be behind the sound


class Detector(Protocol):
    """Hears where somebody speaks, however the sound is cut into pieces."""

    def push(self, samples: np.ndarray) -> np.ndarray:
        """(N,) probability of speech in the mel columns that have become known."""
        ...

    def finish(self) -> np.ndarray:
        """(N,) the columns that were still missing up to the sound's end."""
        ...


class MouthStream:
    """Predicts the actor's mouth while the sound is still going on.

    Frame n, at second n / rate, is decided when `lookahead_s` of sound after it has been heard,
    from a window around it that is as long for every frame. So what it says does not depend on
    how the sound is cut into pieces, and is what `predict_steps` says of the whole recording,
    given the same statistics. What is kept does not grow.

    Args:
        model: trained on the actor.
        config: smoothing, amplitude, normalisation, and how the mouth comes out of its rest.
        rate: frames a second.
        ears: what listens, as it listened to the footage; by default what the settings name.
        detector: hears where somebody speaks; None takes everything for speech.
        statistics: what the mel is normalised by; None: the actor's own, then the stream's.
        together: frames that are decided at once; adds (together - 1) / rate to the latency.
            None: 1, or 5 with streams that listen to whole windows of seconds.

    Raises:
        ConfigError: the rate is 0 or less.
        MissingAssetError: the ears are not those that the model was trained with.

    Departs: `predict_mouth` weighs the statistics of the whole recording, and opens the mouth as
        early as it likes; here both know what came up to the look-ahead, and a mouth that would
        be late comes out of its rest the faster. Streams that listen to
        whole windows are given three seconds before a frame and a quarter after its window,
        where offline they hear what follows, too.
    """

    def __init__(
        self,
        model: MouthModel,
        config: A2EConfig,
        rate: Fraction | float,
        *,
        ears: Ears | None = None,
        detector: Detector | None = None,
        statistics: Statistics | None = None,
        together: int | None = None,
    ) -> None:
        self._ears = ears or reopen_ears(config, model.fingerprint)
        model.require_ears(self._ears)
        context = _Context.of(self._ears)
        together = context.together if together is None else together
        if not rate > 0 or together < 1:
            raise ConfigError(
                f"a stream of {rate} frames a second, {together} at once",
                "give more than 0 frames a second, and 1 or more at once",
            )
        self.frames = 0  # decided so far
        self._model, self._config, self._context = model.eval(), config, context
        self._rate, self._together = Fraction(rate), together
        self._statistics = statistics or RunningStatistics(model.stats, config.features.prior_s)
        self._detector = detector
        back, self._ahead = model.reach
        self._back = max(back, _LEAST_BACK)
        # As far as the Gaussian reaches where scipy cuts it off.
        self._smooth = int(4 * config.smooth_s * STEPS_PER_SECOND + 0.5)
        late = max(self._ahead + STRIDE * self._smooth - _GATE_LATE, 0)
        self._gate = SpeechGate(_hastened(config.activity, late), late)
        self._gates = np.zeros(0, np.float32)  # of columns from `_gated` on
        self._gated = 0
        self._kept = np.zeros(0, np.float32)
        self._first = 0  # number of the first sample kept, a multiple of HOP
        self._listened = 0  # samples that the detector was given
        self._speech = np.zeros(0, np.float32)  # of columns from `_judged` on
        self._judged = 0  # columns that the statistics have taken in

    @property
    def lookahead_s(self) -> float:
        """Seconds of sound after a frame that must be heard before it is decided, at most."""
        columns = STRIDE * (1 + self._smooth) + self._ahead
        window = self._context.after / SAMPLE_RATE
        return columns / COLUMNS_PER_SECOND + window + float((self._together - 1) / self._rate)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Hear the next piece of sound.

        Args:
            samples: (S,) at 16 kHz in [-1, 1], any number; what is no number is silence.

        Returns:
            (N, K) float32 standard deviations of the actor's mouth space, of the frames that
            are now decided, after those given before.
        """
        check_shape("samples", samples, "S")
        finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1)
        self._kept = np.concatenate([self._kept, finite.astype(np.float32)])
        made = []
        while (need := self._samples_needed()) <= self._heard:
            self._listen(need)
            made.append(self._decide(self._together, self._last_column(self._together)))
            self._forget()
        return self._joined(made)

    def flush(self) -> np.ndarray:
        """End the stream.

        Returns:
            (N, K) float32, the frames that were still waiting for sound, up to its end.
        """
        total = math.ceil(Fraction(self._heard, SAMPLE_RATE) * self._rate)
        self._listen(self._heard)
        last_s = max(total - 1, 0) / self._rate
        columns = max(1 + self._heard // HOP, math.ceil(last_s * COLUMNS_PER_SECOND) + 1)
        if self._detector is not None:
            self._take_in(self._detector.finish())
            missing = columns - self._judged - len(self._speech)
            self._take_in(np.zeros(max(missing, 0), np.float32))
            self._gates = np.concatenate([self._gates, self._gate.finish()])
        made = []
        while self.frames < total:
            count = min(self._together, total - self.frames)
            made.append(self._decide(count, min(self._last_column(count), columns - 1)))
            self._forget()
        return self._joined(made)

    @property
    def _heard(self) -> int:
        return self._first + len(self._kept)

    def _steps(self, count: int) -> tuple[int, int]:
        """The steps before and after the next `count` frames."""
        early = self.frames * STEPS_PER_SECOND / self._rate
        late = (self.frames + count - 1) * STEPS_PER_SECOND / self._rate
        return math.floor(early), math.ceil(late)

    def _last_column(self, count: int) -> int:
        return STRIDE * (self._steps(count)[1] + self._smooth) + self._ahead

    def _first_column(self) -> int:
        return max(STRIDE * (self._steps(1)[0] - self._smooth) - self._back, 0)

    def _samples_needed(self) -> int:
        return self._last_column(self._together) * HOP + self._context.after

    def _listen(self, stop: int) -> None:
        """Let the detector hear the samples up to one, whatever else has come already."""
        if self._detector is not None:
            self._take_in(self._detector.push(self._kept[self._listened - self._first :][
                : stop - self._listened
            ]))  # fmt: skip
        self._listened = stop

    def _take_in(self, probability: np.ndarray) -> None:
        self._gates = np.concatenate([self._gates, self._gate.push(probability)])
        self._speech = np.concatenate([self._speech, probability])

    def _decide(self, count: int, last: int) -> np.ndarray:
        """(count, K): the next frames, from the sound up to a column."""
        first, (low, high) = self._first_column(), self._steps(count)
        sound = self._sound(first, last)
        self._measure(sound.mel, first)
        steps = self._predict(sound)[:, low - first // STRIDE :][:, : high - low + 1]
        gate = self._gates_at(np.arange(low, low + steps.shape[1]) * STRIDE)
        steps = perform_steps(self._model, steps, torch.from_numpy(gate[None]), self._config)
        frames = range(self.frames, self.frames + count)
        seconds = [float(frame / self._rate - Fraction(low, STEPS_PER_SECOND)) for frame in frames]
        self.frames += count
        made: np.ndarray = sample_steps(steps, torch.tensor(seconds)).numpy().astype(np.float32)
        return made

    def _sound(self, first: int, last: int) -> Sound:
        """What is heard in columns first..last; silence past the end."""
        begin = first * HOP - self._first
        margin = min(self._context.before * HOP, begin)
        piece = self._kept[begin - margin : last * HOP + self._context.after - self._first]
        skip, columns = margin // HOP, last + 1 - first
        sound = self._ears.listen(piece, skip + columns)
        chosen = slice(skip, skip + columns)
        return Sound(sound.mel[:, chosen], sound.heard[:, chosen])

    def _gates_at(self, columns: np.ndarray) -> np.ndarray:
        """(N,) the gate at columns, in order; what is not decided yet is as the last that is."""
        if self._detector is None:
            return np.ones(len(columns), np.float32)
        if len(self._gates) == 0:
            return np.zeros(len(columns), np.float32)
        gates: np.ndarray = self._gates[(columns - self._gated).clip(0, len(self._gates) - 1)]
        drop = min(max(int(columns[0]) - self._gated, 0), len(self._gates) - 1)
        self._gates, self._gated = self._gates[drop:], self._gated + drop
        return gates

    def _measure(self, mel: np.ndarray, first: int) -> None:
        """Let the statistics take in the columns that are known to be speech, or not."""
        skipped = max(first - self._judged, 0)
        self._judged += skipped
        start = self._judged - first
        known = len(self._speech) - skipped if self._detector is not None else mel.shape[1]
        count = max(min(known, mel.shape[1] - start), 0)
        if self._detector is None:
            is_speech = np.ones(count, bool)
        else:
            is_speech = self._speech[skipped : skipped + count] >= self._config.activity.threshold
            self._speech = self._speech[skipped + count :]
        self._statistics.update(mel[:, start : start + count], is_speech)
        self._judged += count

    @torch.inference_mode()
    def _predict(self, sound: Sound) -> Tensor:
        """(K, N) mouth coordinates at the steps of a window."""
        features = self._model.normalise(sound, self._statistics.now)
        steps: Tensor = self._model(features[None], self._model.kernel.config.foreign or 0.0)[0]
        if self._config.smooth_s > 0:
            sigma = self._config.smooth_s * STEPS_PER_SECOND
            steps = torch.from_numpy(gaussian_filter1d(steps.numpy(), sigma, axis=1))
        return steps

    def _forget(self) -> None:
        """Drop the sound that no frame to come depends on."""
        drop = max(
            min((self._first_column() - self._context.before) * HOP, self._listened) - self._first,
            0,
        )
        drop -= drop % HOP
        self._kept, self._first = self._kept[drop:], self._first + drop

    def _joined(self, made: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros((0, len(self._model.rest)), np.float32), *made])


def _hastened(activity: ActivityConfig, late: int) -> ActivityConfig:
    """Open faster where the gate hears of speech too late to open before it."""
    share = late / max(SpeechGate(activity).lookahead, 1)
    attack_s = max(activity.attack_s * min(share, 1.0), min(_FASTEST_ATTACK_S, activity.attack_s))
    return replace(activity, attack_s=attack_s)


@dataclass(frozen=True)
class _Context:
    """The sound around a window of columns that is heard with it."""

    before: int  # columns
    after: int  # samples from the last column's centre
    together: int

    @classmethod
    def of(cls, ears: Ears) -> _Context:
        """As much as these ears need."""
        if set(ears.names) <= {"mfcc"}:
            return cls(4, WINDOW // 2 if not ears.names else 3 * HOP, 1)
        return cls(3 * COLUMNS_PER_SECOND, SAMPLE_RATE // 4, _TOGETHER)
