"""The model of an actor: what it depends on, whom it takes for a stranger, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from a2e_toys import HEARD, QUICK, hear_ranges, toy_ears, toy_footage, toy_speech

from metatalk.a2e.architectures.choice import NETWORKS
from metatalk.a2e.architectures.config import BilstmConfig, LstmConfig
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import FeatureStats, blend_stats
from metatalk.a2e.hearing import DEAF, Sound
from metatalk.a2e.model import (
    MouthModel,
    keep_seen,
    kernel_share,
    lookahead_columns,
    model_state,
    network_rows,
    restore_model,
)
from metatalk.a2e.predict import predict_steps
from metatalk.a2e.training import train_a2e
from metatalk.errors import MissingAssetError
from metatalk.lipsync.mel import BANDS

PLAIN = FeatureStats(np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32))
SMALL = replace(QUICK, bilstm=BilstmConfig(units=4), lstm=LstmConfig(units=4))
BOUNDED = [name for name in NETWORKS if name != "bilstm"]


def with_kernel(config: A2EConfig, **changes: float | None) -> A2EConfig:
    return replace(config, kernel=replace(config.kernel, **changes))


def toy_model(config: A2EConfig = SMALL, heard: int = HEARD) -> MouthModel:
    """A model that knows nothing and answers to every sound differently."""
    model = MouthModel(2, config, heard, (2 if heard else 0, 12, 9), seed=1)
    random = torch.Generator().manual_seed(0)
    for name in ("centres", "weights", "axes"):
        shape = getattr(model.kernel, name).shape
        setattr(model.kernel, name, 0.5 * torch.randn(shape, generator=random))
    model.kernel.width = torch.tensor([20.0, 10.0])
    model.ears = torch.tensor(list(toy_ears().fingerprint), dtype=torch.uint8)
    return model.eval()


def features(columns: int, heard: int = HEARD, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, BANDS + heard, columns, generator=generator)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("heard", [0, HEARD])
@pytest.mark.parametrize("lookahead_ms", [None, 0.0, 40.0, 100.0, 400.0])
def test_it_depends_on_its_reach_and_no_further(
    share: float, heard: int, lookahead_ms: float | None
) -> None:
    model = toy_model(with_kernel(replace(SMALL, lookahead_ms=lookahead_ms), share=share), heard)
    sound, step = features(200, heard).requires_grad_(), 50
    model(sound, 0.5)[0, :, step].square().sum().backward()
    assert sound.grad is not None
    places = sound.grad[0].abs().sum(dim=0).nonzero().flatten()
    first, last = int(places.min()) - 2 * step, int(places.max()) - 2 * step
    back, ahead = model.reach
    assert (back % 2, ahead % 2) == (0, 0)  # whole steps
    if 0 < share < 1:  # the reach is that of networks and kernel together
        assert 0 <= back + first < 2
        assert 0 <= ahead - last < 2
    assert -back <= first
    assert last <= ahead
    if lookahead_ms is not None:
        assert last <= lookahead_ms * 0.08


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("lookahead_ms", [0.0, 37.0, 100.0, 250.0])
@pytest.mark.parametrize("foreign", [0.0, 0.5])
def test_what_comes_after_the_look_ahead_changes_nothing(
    name: str, lookahead_ms: float, foreign: float
) -> None:
    model = toy_model(replace(SMALL, network=name, lookahead_ms=lookahead_ms))
    heard, step = features(160), 41
    changed, last = heard.clone(), 2 * step + lookahead_columns(model_config(lookahead_ms))
    changed[:, :, last + 1 :] = torch.nan
    before, after = model(heard, foreign), model(changed, foreign)
    torch.testing.assert_close(after[..., : step + 1], before[..., : step + 1], atol=1e-5, rtol=0)
    assert after[..., -1].isnan().all()


def model_config(lookahead_ms: float) -> A2EConfig:
    return replace(SMALL, lookahead_ms=lookahead_ms)


def test_the_look_ahead_is_whole_columns_and_never_more_than_asked() -> None:
    columns = [lookahead_columns(model_config(ms)) for ms in (0.0, 12.4, 12.5, 100.0)]
    assert columns == [0, 0, 1, 8]
    assert lookahead_columns(SMALL) is None


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("heard", [0, HEARD])
@pytest.mark.parametrize("foreign", [0.0, 0.6])
@pytest.mark.parametrize("lookahead_ms", [None, 50.0])
def test_blocks_give_what_one_piece_gives(
    share: float, heard: int, foreign: float, lookahead_ms: float | None, monkeypatch
) -> None:
    model = toy_model(with_kernel(replace(SMALL, lookahead_ms=lookahead_ms), share=share), heard)
    rows = features(517, heard)[0].numpy()
    sound = Sound(np.clip(rows[:BANDS], -3, 3), rows[BANDS:])
    whole = predict_steps(model, sound, PLAIN, foreign)
    monkeypatch.setattr("metatalk.a2e.predict._BLOCK_COLUMNS", 100)
    blocks = predict_steps(model, sound, PLAIN, foreign)
    assert whole.shape == (2, 259)
    torch.testing.assert_close(blocks, whole, atol=1e-5, rtol=0)


def test_networks_and_kernel_are_mixed_by_their_share() -> None:
    sound = features(60)
    alone, both, kernel = (
        toy_model(with_kernel(SMALL, share=share))(sound) for share in (0.0, 0.4, 1.0)
    )
    torch.testing.assert_close(both, 0.6 * alone + 0.4 * kernel)


def test_a_strangers_mel_counts_for_nothing() -> None:
    model, sound = toy_model(), features(60)
    other = torch.cat([features(60, 0, seed=5), sound[:, BANDS:]], dim=1)
    torch.testing.assert_close(model(sound, 1.0), model(other, 1.0))
    assert not torch.allclose(model(sound, 0.0), model(other, 0.0), atol=1e-2)


def test_beside_a_network_of_the_fields_there_is_no_kernel() -> None:
    for name in NETWORKS:
        share = kernel_share(with_kernel(replace(SMALL, network=name), share=0.4))
        assert share == (0.4 if name == "ours" else 0.0)


@pytest.mark.parametrize("name", ["time_delayed_lstm", "audiodvp"])
def test_networks_on_other_features_do_not_get_the_mel(name: str) -> None:
    config = replace(SMALL, network=name)
    assert network_rows(config, 28) == slice(BANDS, BANDS + 28)
    assert network_rows(config, 0) == slice(0, BANDS)  # where nothing else is heard
    assert network_rows(SMALL, 28) == slice(0, BANDS + 28)


@pytest.fixture(scope="module")
def acquainted() -> MouthModel:
    """A model that has been held against its own voice; the kernel needs no training."""
    return train_a2e(toy_footage(10.0), with_kernel(QUICK, share=1.0), ears=toy_ears())[0]


def strangeness(model: MouthModel, samples: np.ndarray) -> float:
    sound = toy_ears().listen(samples)
    stats = blend_stats(sound.mel, model.stats, 8.0)
    return model.foreignness(sound, stats, np.ones(sound.columns, np.float32))


def test_the_actors_own_voice_is_not_foreign(acquainted: MouthModel) -> None:
    assert strangeness(acquainted, toy_footage(10.0).samples) == 0.0
    assert strangeness(acquainted, toy_speech(4.0, seed=5)[0]) < 0.2


def test_another_voice_is_foreign(acquainted: MouthModel) -> None:
    near, far = (
        strangeness(acquainted, toy_speech(4.0, seed=5, pitch_hz=pitch)[0])
        for pitch in (310.0, 1100.0)
    )
    assert 0 <= near < far <= 1
    assert far > 0.5
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    assert strangeness(acquainted, 0.1 * noise) == 1.0


def test_silence_and_nobody_speaking_are_not_foreign(acquainted: MouthModel) -> None:
    sound = toy_ears().listen(toy_speech(1.0, pitch_hz=1100.0)[0])
    assert acquainted.foreignness(sound, PLAIN, np.zeros(sound.columns, np.float32)) == 0.0


@pytest.mark.parametrize("asked", [0.0, 0.3, 1.0])
def test_how_foreign_a_voice_is_can_be_said(asked: float) -> None:
    model = toy_model(with_kernel(SMALL, foreign=asked))
    sound = toy_ears().listen(toy_speech(1.0)[0])
    assert model.foreignness(sound, PLAIN, np.ones(sound.columns, np.float32)) == asked


def test_a_model_never_held_against_its_own_voice_calls_nobody_foreign() -> None:
    model, sound = toy_model(), toy_ears().listen(toy_speech(1.0, pitch_hz=1100.0)[0])
    assert math.isinf(model.own_distance)
    assert model.foreignness(sound, PLAIN, np.ones(sound.columns, np.float32)) == 0.0


def test_without_other_streams_nobody_is_foreign() -> None:
    model = toy_model(heard=0)
    model.own_distance.fill_(1e-3)
    sound = DEAF.listen(toy_speech(1.0, pitch_hz=1100.0)[0])
    assert model.foreignness(sound, PLAIN, np.ones(sound.columns, np.float32)) == 0.0


def test_it_is_restored_from_its_state() -> None:
    model = toy_model()
    model.own_distance.fill_(0.7)
    again = restore_model(model_state(model), SMALL)
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for foreign in (0.0, 0.4):
        torch.testing.assert_close(again(features(50), foreign), model(features(50), foreign))


@pytest.mark.parametrize(
    "other",
    [
        replace(SMALL, tcn=replace(SMALL.tcn, channels=24)),
        replace(SMALL, tcn=replace(SMALL.tcn, dilations=(1, 2, 4))),
        replace(SMALL, ensemble=replace(SMALL.ensemble, members=3)),
        replace(SMALL, network="bilstm"),
        replace(SMALL, network="tcn"),
        with_kernel(SMALL, coefficients=12),
        with_kernel(SMALL, context_s=0.1),
    ],
)
def test_a_state_of_other_settings_is_refused(other: A2EConfig) -> None:
    with pytest.raises(MissingAssetError, match="rerun train_a2e"):
        restore_model(model_state(toy_model()), other)


@pytest.mark.parametrize("missing", ["kernel.centres", "seen", "rest", "own_distance", "ears"])
def test_a_state_of_an_older_release_is_refused(missing: str) -> None:
    state = model_state(toy_model())
    del state[missing]
    with pytest.raises(MissingAssetError, match="rerun train_a2e"):
        restore_model(state, SMALL)


def test_only_the_ears_of_the_training_will_do() -> None:
    model = toy_model()
    model.require_ears(toy_ears())
    for other in (DEAF, toy_ears("another release")):
        with pytest.raises(MissingAssetError, match="other features of the sound") as refused:
            model.require_ears(other)
        assert "a2e.encoder" in refused.value.remedy


def test_streams_are_brought_to_the_norms_of_the_footage() -> None:
    model, samples = toy_model(), toy_speech(1.0)[0]
    model.heard_mean, model.heard_deviation = torch.arange(8.0), torch.arange(8.0) + 2
    sound = toy_ears().listen(samples)
    heard = hear_ranges(samples, sound.columns)
    made = model.normalise(sound, PLAIN)[BANDS:].numpy()
    rows = np.arange(8)[:, None]
    np.testing.assert_allclose(made, (heard - rows) / (rows + 2), atol=1e-5)


def test_the_mouths_remembered_are_spread_over_the_footage() -> None:
    few, many = torch.arange(20.0)[:, None], torch.arange(10_000.0)[:, None]
    assert torch.equal(keep_seen(few), few)
    kept = keep_seen(many)[:, 0]
    assert (kept[0], kept[-1], len(kept)) == (0, 9999, 3000)
    assert kept.diff().max() <= 4
