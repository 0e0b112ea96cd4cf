"""The live mouth: what is decided does not depend on how the sound comes, nor on what follows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.architectures.interface import STEPS_PER_SECOND
from metatalk.a2e.config import A2EConfig, FeatureConfig
from metatalk.a2e.features import FeatureStats, blend_stats
from metatalk.a2e.hearing import DEAF, Ears, Stream
from metatalk.a2e.level_detector import LevelDetector
from metatalk.a2e.mfcc import MFCC_SIZE, mfcc
from metatalk.a2e.model import MouthModel
from metatalk.a2e.predict import perform_steps, predict_mouth, predict_steps, sample_steps
from metatalk.a2e.running_stats import FixedStatistics, RunningStatistics
from metatalk.a2e.stream import MouthStream
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, wav2lip_mel

RATE = 16_000
RATES = [Fraction(25), Fraction(30000, 1001), Fraction(40), Fraction(60)]
CONFIG = A2EConfig(
    components=3, features=FeatureConfig(streams=()), activity=ActivityConfig(detector="level")
)
MFCC = Ears((Stream("mfcc", MFCC_SIZE, mfcc, "mfcc"),))


def make_model(config: A2EConfig = CONFIG, ears: Ears = DEAF) -> MouthModel:
    """A model that knows nothing and answers to every sound differently."""
    axes = 6 if ears.size else 0
    model = MouthModel(3, config, ears.size, (axes, 40, 30), seed=1)
    random = torch.Generator().manual_seed(0)
    for name in ("centres", "weights", "axes"):
        shape = getattr(model.kernel, name).shape
        setattr(model.kernel, name, 0.3 * torch.randn(shape, generator=random))
    model.rest = torch.tensor([0.5, -0.3, 0.1])
    model.gain = torch.tensor([1.5, 1.2, 1.0])
    model.seen = torch.randn(30, 3, generator=random)
    model.heard_deviation = torch.full((ears.size,), 20.0)
    model.ears = torch.tensor(list(ears.fingerprint), dtype=torch.uint8)
    return model.eval()


@pytest.fixture(scope="module")
def trained() -> MouthModel:
    return make_model()


def toy_speech(seconds: float, seed: int) -> np.ndarray:
    """Syllables of noise and tones over a quiet room."""
    random = np.random.default_rng(seed)
    size = int(seconds * RATE)
    clock, loud = np.arange(size) / RATE, np.zeros(size)
    start = 0
    while start < size:
        length = int(random.uniform(0.15, 0.3) * RATE)
        stop = min(start + length, size)
        loud[start:stop] = np.hanning(length)[: stop - start]
        start = stop + int(random.uniform(0.05, 0.15) * RATE)
    voice = np.sin(2 * np.pi * random.uniform(200, 900) * clock)
    voice += 0.5 * random.standard_normal(size)
    samples = 0.2 * loud * voice + 1e-4 * random.standard_normal(size)
    return samples.astype(np.float32)


def hear(stream: MouthStream, samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Push in pieces of these sizes, over and over, and flush."""
    made, place, turn = [], 0, 0
    while place < len(samples):
        size = sizes[turn % len(sizes)]
        made.append(stream.push(samples[place : place + size]))
        place, turn = place + size, turn + 1
    return np.concatenate([*made, stream.flush()])


def offline(
    model: MouthModel, samples: np.ndarray, seconds: np.ndarray, stats: FeatureStats,
    config: A2EConfig, ears: Ears,
) -> np.ndarray:  # fmt: skip
    """The whole recording at once, its gate open."""
    sound = ears.listen(samples, int(np.ceil(seconds.max() * COLUMNS_PER_SECOND)) + 1)
    steps = predict_steps(model, sound, stats)
    if config.smooth_s:
        sigma = config.smooth_s * STEPS_PER_SECOND
        steps = torch.from_numpy(gaussian_filter1d(steps.numpy(), sigma, axis=1))
    steps = perform_steps(model, steps, torch.ones(1, steps.shape[1]), config)
    return sample_steps(steps, torch.from_numpy(seconds)).numpy()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("change", "ears"),
    [
        ({}, DEAF),
        ({}, MFCC),
        ({"smooth_s": 0.05, "amplitude": 1.3, "seen": 0.5}, DEAF),
        ({"lookahead_ms": 0.0}, DEAF),
        ({"lookahead_ms": 60.0, "network": "tcn"}, DEAF),
    ],
)
def test_the_stream_says_what_the_whole_recording_says(
    rate: Fraction, change: dict[str, object], ears: Ears
) -> None:
    config = replace(CONFIG, **change)  # type: ignore[arg-type]
    model = make_model(config, ears)
    samples = toy_speech(1.77, seed=5)[:-37]
    stats = blend_stats(wav2lip_mel(samples), model.stats, config.features.prior_s)
    stream = MouthStream(model, config, rate, ears=ears, statistics=FixedStatistics(stats))
    made = hear(stream, samples, [1000])
    seconds = np.arange(int(np.ceil(len(samples) / RATE * float(rate)))) / float(rate)
    expected = offline(model, samples, seconds, stats, config, ears)
    assert expected.std(axis=0).min() > 0.02
    np.testing.assert_allclose(made, expected, atol=5e-5)


class Told:
    """A detector that is told what it hears."""

    def __init__(self, probability: np.ndarray) -> None:
        self._probability, self._samples, self._given = probability, 0, 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        self._samples += len(samples)
        return self._up_to(max(self._samples // 200 - 1, 0))

    def finish(self) -> np.ndarray:
        return self._up_to(1 + self._samples // 200)

    def _up_to(self, column: int) -> np.ndarray:
        first, self._given = self._given, max(column, self._given)
        return self._probability[first : self._given]


@pytest.mark.parametrize("short", [False, True])
def test_the_gate_is_that_of_the_recording_where_it_looks_no_farther_ahead(
    short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity = ActivityConfig(shortest_s=0.05, lead_s=0.05 if short else 0.5)
    config = replace(CONFIG, activity=activity)
    model = make_model(config)
    samples = toy_speech(3.0, 3)
    speech = np.zeros(1 + len(samples) // 200, np.float32)
    speech[60:100] = speech[150:190] = 0.9
    monkeypatch.setattr("metatalk.a2e.predict.hear_speech", lambda *_: speech)
    stats = blend_stats(wav2lip_mel(samples), model.stats, config.features.prior_s)
    fixed = FixedStatistics(stats)
    stream = MouthStream(model, config, 25, detector=Told(speech), statistics=fixed)
    made = hear(stream, samples, [700])
    expected = predict_mouth(model, samples, np.arange(len(made)) / 25, config)
    assert np.abs(expected - model.rest.numpy()).max() > 0.2
    if short:
        np.testing.assert_allclose(made, expected, atol=5e-5)
    else:  # it begins later, and ends as it does there
        assert np.abs(made - expected)[:20].max() > 0.02
        np.testing.assert_allclose(made[55:], expected[55:], atol=5e-5)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=8), st.sampled_from([1, 3]))
def test_pieces_of_any_size_say_the_same(
    trained: MouthModel, sizes: list[int], together: int
) -> None:
    sizes = [max(size, 40) for size in sizes]
    samples = toy_speech(1.3, seed=2)
    streams = [
        MouthStream(trained, CONFIG, 25, detector=LevelDetector(), together=together)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(
        hear(streams[0], samples, sizes), hear(streams[1], samples, [len(samples)])
    )


@pytest.mark.parametrize("together", [1, 2])
def test_a_frame_is_decided_once_its_lookahead_is_heard(trained: MouthModel, together: int) -> None:
    stream = MouthStream(trained, CONFIG, 25, detector=LevelDetector(), together=together)
    samples = toy_speech(1.5, seed=4)
    for place in range(0, len(samples), 160):
        before = stream.frames
        stream.push(samples[place : place + 160])
        heard_s = min(place + 160, len(samples)) / RATE
        assert stream.frames >= np.floor((heard_s - stream.lookahead_s) * 25) + 1
        assert stream.frames == before or (stream.frames - together) / 25 <= heard_s
    assert stream.lookahead_s < 0.55


def test_what_follows_the_lookahead_changes_nothing(trained: MouthModel) -> None:
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(RATE // 4).astype(np.float32)
    samples = np.concatenate([quiet, toy_speech(1.25, seed=4)])
    other = samples.copy()
    other[RATE:] = toy_speech(0.5, seed=9)
    made = [
        hear(MouthStream(trained, CONFIG, 25, detector=LevelDetector()), sound, [400])
        for sound in (samples, other)
    ]
    stream = MouthStream(trained, CONFIG, 25)
    same = int(np.floor((1 - stream.lookahead_s) * 25)) + 1
    np.testing.assert_array_equal(made[0][:same], made[1][:same])
    assert np.abs(made[0] - made[1]).max() > 0.02


def test_what_is_kept_does_not_grow(trained: MouthModel) -> None:
    stream = MouthStream(trained, CONFIG, 25, detector=LevelDetector())
    samples = toy_speech(4.0, seed=4)
    kept = []
    for place in range(0, len(samples), 1600):
        stream.push(samples[place : place + 1600])
        kept.append(len(stream._kept))
    assert max(kept[10:]) <= max(kept[:20])
    assert max(kept) < 1.5 * RATE


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1, 3.0])
def test_silence_is_the_rest_pose(trained: MouthModel, seconds: float) -> None:
    silent = np.zeros(int(seconds * RATE), np.float32)
    stream = MouthStream(trained, CONFIG, 25, detector=LevelDetector())
    made = hear(stream, silent, [500])
    assert len(made) == int(np.ceil(seconds * 25))
    np.testing.assert_allclose(made, np.broadcast_to(trained.rest, made.shape), atol=1e-6)


def test_the_mouth_speaks_and_rests_again(trained: MouthModel) -> None:
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    samples = np.concatenate([quiet, toy_speech(2.0, seed=3), quiet])
    made = hear(MouthStream(trained, CONFIG, 25, detector=LevelDetector()), samples, [777])
    moved = np.abs(made - trained.rest.numpy()).max(axis=1)
    assert moved[:15].max() < 1e-6
    assert moved[30:70].max() > 1
    assert moved[-5:].max() < 1e-6


def test_no_number_is_silence(trained: MouthModel) -> None:
    samples = toy_speech(1.0, seed=3)
    samples[3000:5000] = np.nan
    samples[6000] = np.inf
    made = hear(MouthStream(trained, CONFIG, 25, detector=LevelDetector()), samples, [777])
    assert np.isfinite(made).all()


def test_streams_that_listen_to_whole_windows_are_given_seconds(trained: MouthModel) -> None:
    """A stream whose columns depend on the second before them is still exact."""

    def hear_wide(samples: np.ndarray, columns: int) -> np.ndarray:
        power = np.pad(samples**2, (RATE, columns * 200))
        sums = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
        at = np.arange(columns) * 200 + RATE
        return (100 * (sums[at + 3000] - sums[at - RATE]) / RATE)[None].astype(np.float32)

    ears = Ears((Stream("speech", 1, hear_wide, "toy"),))
    model = make_model(CONFIG, ears)
    samples = toy_speech(5.0, seed=6)
    stream = MouthStream(model, CONFIG, 25, ears=ears, statistics=FixedStatistics(model.stats))
    made = hear(stream, samples, [1000])
    seconds = np.arange(len(made)) / 25
    expected = offline(model, samples, seconds, model.stats, CONFIG, ears)
    np.testing.assert_allclose(made, expected, atol=2e-4)
    plain = MouthStream(trained, CONFIG, 25)
    assert stream.lookahead_s > plain.lookahead_s + 0.2


def test_ears_must_be_those_of_the_training(trained: MouthModel) -> None:
    with pytest.raises(MissingAssetError):
        MouthStream(trained, CONFIG, 25, ears=MFCC)


def test_statistics_come_to_those_of_the_recording() -> None:
    chance = np.random.default_rng(0)
    prior = FeatureStats(np.full(80, -1.0, np.float32), np.full(80, 1.0, np.float32))
    voice = chance.normal(0.5, 0.8, 80)[:, None] + 0.6 * chance.standard_normal((80, 2400))
    is_speech = np.arange(2400) % 240 > 60
    mel = np.where(is_speech, voice, -3.5).clip(-4, 4).astype(np.float32)
    running = RunningStatistics(prior, 8.0)
    assert running.now is prior
    for first in range(0, 2400, 3):
        running.update(mel[:, first : first + 3], is_speech[first : first + 3])
    whole = blend_stats(mel, prior, 8.0)
    np.testing.assert_allclose(running.now.mean, whole.mean, atol=0.05)
    np.testing.assert_allclose(running.now.deviation, whole.deviation, atol=0.05)


def test_statistics_take_up_the_level_at_once_and_forget() -> None:
    prior = FeatureStats(np.zeros(80, np.float32), np.ones(80, np.float32))
    running = RunningStatistics(prior, 8.0)
    running.update(np.full((80, 80), -2.0, np.float32), np.ones(80, bool))
    assert abs(running.now.mean.mean() + 2.0) < 0.25
    running.update(np.full((80, 160), 3.0, np.float32), np.zeros(160, bool))  # no speech
    assert running.now.mean.mean() < -1.7
    for _ in range(400):
        running.update(np.full((80, 80), 2.0, np.float32), np.ones(80, bool))
    assert abs(running.now.mean.mean() - 2.0) < 0.1


def test_the_level_detector_hears_words_between_pauses() -> None:
    chance = np.random.default_rng(1)
    samples = 1e-3 * chance.standard_normal(3 * RATE).astype(np.float32)
    samples[RATE : 2 * RATE] += toy_speech(1.0, seed=3)
    detector = LevelDetector()
    pieces = [detector.push(samples[place : place + 333]) for place in range(0, 3 * RATE, 333)]
    speech = np.concatenate([*pieces, detector.finish()])
    assert len(speech) == 1 + len(samples) // 200
    assert speech[:75].max() == 0
    assert speech[85:155].mean() > 0.5
    assert speech[170:].max() == 0


@pytest.mark.parametrize(("rate", "together"), [(0, 1), (25, 0)])
def test_impossible_streams_are_refused(trained: MouthModel, rate: int, together: int) -> None:
    with pytest.raises(ConfigError):
        MouthStream(trained, CONFIG, rate, together=together)
