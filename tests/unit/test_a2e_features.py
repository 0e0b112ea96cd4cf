"""What the network hears: normalisation and augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from a2e_toys import toy_speech

from metatalk.a2e.augment import augment_mel, drop_mel, mask_features, warp_bands
from metatalk.a2e.config import A2EConfig, AugmentConfig
from metatalk.a2e.features import (
    LIMIT,
    blend_stats,
    column_level_db,
    measure_stats,
    normalise_mel,
    speech_columns,
)
from metatalk.errors import ConfigError
from metatalk.lipsync.mel import SILENCE, wav2lip_mel

OFF = AugmentConfig(1.0, 0, 0, 0, 0, 0, 0, 0, 0)


def toy_mel(seconds: float = 3.0) -> np.ndarray:
    return wav2lip_mel(toy_speech(seconds)[0])


def test_level_is_in_decibels() -> None:
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1
    loud, quiet = (column_level_db(wav2lip_mel(samples * k)).mean() for k in (1.0, 0.5))
    assert loud - quiet == pytest.approx(6.02, abs=0.05)


def test_pauses_are_not_speech() -> None:
    samples = toy_speech(3.0)[0]
    samples[16_000:32_000] = 0
    speech = speech_columns(wav2lip_mel(samples))
    assert not speech[84:156].any()
    assert speech[:80].mean() > 0.5


def test_silence_holds_no_speech() -> None:
    assert not speech_columns(wav2lip_mel(np.zeros(16_000, np.float32))).any()


def test_speech_is_centred_with_unit_deviation() -> None:
    mel = toy_mel()
    normal = normalise_mel(mel, measure_stats(mel))[:, speech_columns(mel)]
    assert abs(normal.mean()) < 0.1
    assert normal.std() < 1.1
    assert np.abs(normal).max() <= LIMIT


def test_the_recording_level_does_not_matter() -> None:
    mel = np.clip(toy_mel(), -2.0, 2.0)
    louder = mel + 1.0
    np.testing.assert_allclose(
        normalise_mel(mel, measure_stats(mel)),
        normalise_mel(louder, measure_stats(louder)),
        atol=1e-4,
    )


def test_short_recordings_lean_on_the_footage() -> None:
    mel, prior = toy_mel(), measure_stats(toy_mel(6.0))
    own = measure_stats(mel)
    alone, mixed, lent = (blend_stats(mel, prior, s) for s in (0.0, 2.0, 1e9))
    np.testing.assert_allclose(alone.mean, own.mean, atol=1e-5)
    np.testing.assert_allclose(lent.deviation, prior.deviation, atol=1e-5)
    assert lent.mean.mean() == pytest.approx(own.mean.mean(), abs=1e-4)
    assert (np.abs(mixed.mean - own.mean) <= np.abs(lent.mean - own.mean) + 1e-5).all()


def test_silence_is_normalised_by_the_footage() -> None:
    prior = measure_stats(toy_mel())
    assert blend_stats(np.full((80, 50), SILENCE), prior, 2.0) is prior


def test_augmentation_switched_off_changes_nothing() -> None:
    mel = torch.from_numpy(toy_mel())[None]
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(augment_mel(mel, OFF, generator), mel, atol=1e-5, rtol=0)
    torch.testing.assert_close(mask_features(mel, OFF, generator), mel)


def test_augmentation_is_repeatable_and_in_range() -> None:
    mel = torch.from_numpy(toy_mel())[None].expand(8, -1, -1)
    first, again = (
        augment_mel(mel, AugmentConfig(share=1.0), torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    torch.testing.assert_close(first, again)
    assert first.abs().max() <= 4
    assert (first - mel).abs().amax(dim=(1, 2)).min() > 0


def test_share_leaves_windows_alone() -> None:
    mel = torch.from_numpy(toy_mel())[None].expand(64, -1, -1)
    varied = augment_mel(mel, AugmentConfig(share=0.5), torch.Generator().manual_seed(0))
    untouched = (varied == mel).all(dim=2).all(dim=1).float().mean()
    assert 0.3 < untouched < 0.7


def test_warping_moves_a_peak_down_by_its_factor() -> None:
    mel = torch.zeros(1, 80, 4)
    mel[:, 44] = 1
    assert warp_bands(mel, torch.tensor([0.1]))[0, :, 0].argmax() == 40


def test_masks_blank_one_run_each_way() -> None:
    ones = torch.ones(16, 80, 60)
    config = AugmentConfig(mask_bands=10, mask_columns=7)
    masked = mask_features(ones, config, torch.Generator().manual_seed(1))
    assert (masked.amax(dim=2) == 0).sum(dim=1).max() <= 10
    assert (masked.amax(dim=1) == 0).sum(dim=1).max() <= 7
    assert (masked == 0).any()


def test_the_mel_is_taken_from_whole_windows() -> None:
    mel = torch.randn(400, 80, 6, generator=torch.Generator().manual_seed(0))
    dropped = drop_mel(mel, 0.3, torch.Generator().manual_seed(1))
    gone = (dropped == 0).all(dim=2).all(dim=1)
    assert torch.equal(dropped[~gone], mel[~gone])
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.08)
    assert torch.equal(dropped, drop_mel(mel, 0.3, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("share", "left"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropping_none_or_all_of_the_mel(share: float, left: float) -> None:
    mel = torch.ones(20, 80, 6)
    assert (drop_mel(mel, share, torch.Generator().manual_seed(0)) == left).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: AugmentConfig(gain_db=-1),
        lambda: AugmentConfig(warp=0.6),
        lambda: AugmentConfig(share=1.5),
        lambda: A2EConfig(held_out=0.9),
        lambda: A2EConfig(steps=0),
        lambda: A2EConfig(average=1.0),
    ],
)
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()


def test_more_footage_bears_more_steps() -> None:
    config = A2EConfig(steps=100)
    assert config.steps_for(16) == 100
    assert config.steps_for(64) == 200
