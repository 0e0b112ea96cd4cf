"""What is heard in a recording, and what happens where an ear is missing."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from a2e_toys import QUICK, RATE, hear_ranges, toy_ears, toy_speech

from metatalk.a2e.config import A2EConfig, FeatureConfig
from metatalk.a2e.encoder_config import EncoderConfig
from metatalk.a2e.encoders import FrameGrid, SpeechEncoder
from metatalk.a2e.hearing import DEAF, Ears, Stream, open_ears, other_voices
from metatalk.a2e.voice_config import VoiceConfig
from metatalk.errors import ConfigError, MissingAssetError, ShapeError
from metatalk.lipsync.mel import BANDS, SILENCE, wav2lip_mel

ENCODER = SpeechEncoder(
    "toy",
    5,
    FrameGrid(320, 400, 199.5),
    lambda samples: np.zeros((max((len(samples) - 400) // 320 + 1, 0), 5), np.float32),
    "toy terms",
    "a digest",
)
ABSENT = MissingAssetError("the built-in speech encoder is not installed", "pip install it")


def absent(config: EncoderConfig) -> SpeechEncoder | None:
    raise ABSENT


def asking_for(*streams: str, **changes: object) -> A2EConfig:
    return replace(A2EConfig(features=FeatureConfig(streams=streams)), **changes)


@pytest.fixture
def with_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metatalk.a2e.hearing.open_encoder", lambda config: ENCODER)


def test_sound_is_heard_on_the_clock_of_the_mel() -> None:
    samples = toy_speech(1.0)[0]
    sound = toy_ears().listen(samples)
    assert sound.columns == 81
    np.testing.assert_array_equal(sound.mel, wav2lip_mel(samples))
    np.testing.assert_allclose(sound.heard, hear_ranges(samples, 81), atol=1e-6)
    assert sound.heard.dtype == np.float32


def test_past_its_end_silence_is_heard() -> None:
    samples = toy_speech(1.0)[0]
    sound = toy_ears().listen(samples, 120)
    assert sound.columns == 120
    assert (sound.mel[:, 81:] == SILENCE).all()
    assert (sound.heard[:, 81:] == 0).all()
    assert toy_ears().listen(samples, 10).columns == 81  # nothing is cut off


def test_streams_lie_below_each_other_in_the_order_they_are_named() -> None:
    ears = Ears(
        tuple(
            Stream(name, size, lambda samples, columns, n=size: np.full((n, columns), n), name)
            for name, size in (("one", 2), ("two", 3))
        )
    )
    sound = ears.listen(toy_speech(0.5)[0])
    assert sound.heard[:, 0].tolist() == [2, 2, 3, 3, 3]
    assert (ears.size, ears.names) == (5, ("one", "two"))


def test_the_deaf_hear_the_mel() -> None:
    sound = DEAF.listen(toy_speech(0.5)[0])
    assert sound.heard.shape == (0, 41)
    assert DEAF.size == 0


@pytest.mark.parametrize("streams", [(), ("mfcc",), ("phones",), ("speech",)])
@pytest.mark.parametrize("count", [0, 1, 1600, 16_000])
def test_zeros_and_moments_of_sound_are_finite(
    streams: tuple[str, ...], count: int, with_encoder: None
) -> None:
    if "phones" in streams:
        pytest.importorskip("pocketsphinx")
    ears = open_ears(asking_for(*streams))
    for samples in (np.zeros(count, np.float32), toy_speech(2.0)[0][:count]):
        sound = ears.listen(samples, 20)
        assert sound.mel.shape == (BANDS, max(20, 1 + count // 200))
        assert np.isfinite(sound.mel).all()
        assert np.isfinite(sound.heard).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sound_that_is_no_number_is_refused(value: float) -> None:
    samples = toy_speech(0.5)[0]
    samples[100] = value
    with pytest.raises(ShapeError, match="not numbers"):
        toy_ears().listen(samples)


def test_every_network_hears_what_it_is_defined_on(with_encoder: None) -> None:
    heard = {
        name: open_ears(replace(A2EConfig(), network=name)).names
        for name in ("ours", "bilstm", "tcn", "adversarial", "audiodvp", "time_delayed_lstm")
    }
    assert heard["ours"] == heard["audiodvp"] == ("speech",)
    assert heard["bilstm"] == heard["tcn"] == heard["adversarial"] == ()
    assert heard["time_delayed_lstm"] == ("mfcc",)


def test_streams_that_are_named_are_heard_by_any_network(with_encoder: None) -> None:
    config = asking_for("mfcc", "speech", "phones", network="tcn")
    ears = open_ears(config)
    assert ears.names == ("mfcc", "speech", "phones")
    assert ears.terms == "toy terms"
    assert ears.size == 28 + 5 + ears.streams[2].size
    assert open_ears(asking_for()).names == ()


def test_without_an_encoder_the_mel_is_heard_and_that_is_said(monkeypatch, caplog) -> None:
    monkeypatch.setattr("metatalk.a2e.hearing.open_encoder", absent)
    with caplog.at_level(logging.WARNING, "metatalk"):
        ears = open_ears(A2EConfig())
    assert ears.names == ()
    assert ears.fingerprint == DEAF.fingerprint
    assert ABSENT.problem in caplog.text
    assert "mel spectrogram alone" in caplog.text
    assert ABSENT.remedy in caplog.text


@pytest.mark.parametrize(
    "config", [asking_for("speech"), A2EConfig(encoder=EncoderConfig(source="mine.onnx"))]
)
def test_an_encoder_that_was_asked_for_must_be_there(config: A2EConfig, monkeypatch) -> None:
    monkeypatch.setattr("metatalk.a2e.hearing.open_encoder", absent)
    with pytest.raises(MissingAssetError, match="not installed"):
        open_ears(config)


def test_no_encoder_is_no_complaint(caplog) -> None:
    with caplog.at_level(logging.WARNING, "metatalk"):
        assert open_ears(QUICK).names == ()
    assert caplog.text == ""


def test_what_hears_far_ahead_is_left_out_under_a_bounded_look_ahead(with_encoder: None) -> None:
    assert open_ears(asking_for("mfcc", "speech", lookahead_ms=100.0)).names == ("mfcc",)
    assert open_ears(A2EConfig(lookahead_ms=0.0)).names == ()


def test_other_ears_have_other_fingerprints(with_encoder: None) -> None:
    named = [(), ("speech",), ("mfcc",), ("mfcc", "speech"), ("speech", "mfcc")]
    prints = [open_ears(asking_for(*streams)).fingerprint for streams in named]
    prints += [toy_ears().fingerprint, toy_ears("other weights").fingerprint]
    assert len(set(prints)) == len(prints)
    assert {len(each) for each in prints} == {32}
    assert toy_ears().fingerprint == toy_ears().fingerprint


def test_there_are_as_many_other_voices_as_asked_for() -> None:
    samples = toy_speech(1.0)[0]
    config = replace(QUICK, voices=VoiceConfig(copies=2))
    first, again, other = (list(other_voices(samples, config, seed)) for seed in (0, 0, 1))
    assert [len(voice) for voice in first] == [RATE, RATE]
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], samples)
    assert list(other_voices(samples, QUICK, 0)) == []


def test_unknown_streams_are_refused() -> None:
    with pytest.raises(ConfigError, match="names 'pitch'"):
        FeatureConfig(streams=("mfcc", "pitch"))
