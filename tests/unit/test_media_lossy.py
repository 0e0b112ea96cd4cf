"""Codecs in memory: what comes back is the sound, worse, and in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metatalk import presenter
from metatalk.errors import MissingAssetError
from metatalk.media.audio import read_sound
from metatalk.media.lossy import LOSSY_CODECS, LossyCodec, send_through

SPEECH = read_sound(Path(presenter.__file__).with_name("driving.flac")).samples[: 16_000 * 4]


@pytest.mark.parametrize("codec", LOSSY_CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("start", [0, 7777])
def test_the_sound_comes_back_in_time(codec: LossyCodec, start: int) -> None:
    sound = SPEECH[start:]
    heard = send_through(sound, 16_000, codec)
    assert heard.shape == sound.shape
    assert heard.dtype == np.float32
    assert not np.array_equal(heard, sound)
    inner = slice(200, -200)
    alike = {
        lag: np.corrcoef(sound[inner], np.roll(heard, -lag)[inner])[0, 1] for lag in range(-40, 41)
    }
    assert abs(max(alike, key=alike.__getitem__)) <= 1  # samples
    assert max(alike.values()) > 0.9


@pytest.mark.parametrize("codec", LOSSY_CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("count", [0, 1, 160, 1600])
def test_silence_and_shortness(codec: LossyCodec, count: int) -> None:
    heard = send_through(np.zeros(count, np.float32), 16_000, codec)
    assert heard.shape == (count,)
    assert np.abs(heard).max(initial=0) < 1e-3
    assert np.isfinite(send_through(SPEECH[:count], 16_000, codec)).all()


def test_the_telephone_has_no_treble() -> None:
    telephone = next(codec for codec in LOSSY_CODECS if codec.name == "g711")
    hiss = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    power = np.abs(np.fft.rfft(send_through(hiss, 16_000, telephone))) ** 2  # a bin is a hertz
    assert power[5000:7500].mean() < 0.01 * power[500:3000].mean()


def test_a_codec_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingAssetError, match="is not in this build") as refused:
        send_through(SPEECH[:1600], 16_000, LossyCodec("none", "no_such", "no_such", 8_000))
    assert "a2e.voices.codec=0" in refused.value.remedy
