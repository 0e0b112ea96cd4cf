"""The field's networks behind one interface: shapes, reach, look-ahead, delay, and the critic."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from metatalk.a2e.architectures.audiodvp import AudioDvpConvolution
from metatalk.a2e.architectures.choice import (
    NETWORKS,
    MouthEnsemble,
    build_network,
    find_architecture,
    is_adversarial,
)
from metatalk.a2e.architectures.config import (
    BilstmConfig,
    BodyName,
    CriticConfig,
    EnsembleConfig,
    LstmConfig,
    NetworkName,
    NetworkSizes,
    TcnConfig,
)
from metatalk.a2e.architectures.critic import (
    MouthCritic,
    build_critic,
    critic_loss,
    fooling_loss,
)
from metatalk.a2e.architectures.interface import STRIDE, Reach
from metatalk.a2e.architectures.tcn import TemporalConvolution
from metatalk.a2e.architectures.time_delayed_lstm import TimeDelayedLstm
from metatalk.errors import ConfigError, ShapeError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

ROWS, COORDINATES = 12, 3
SIZES = NetworkSizes(
    tcn=TcnConfig(channels=8, dilations=(1, 2, 4)),
    lstm=LstmConfig(units=6),
    bilstm=BilstmConfig(units=5),
    ensemble=EnsembleConfig(members=2),
)
BOUNDED = [name for name in NETWORKS if name != "bilstm"]


def network(name: str, lookahead: int | None = None, seed: int = 0) -> MouthEnsemble:
    return build_network(name, ROWS, COORDINATES, SIZES, seed, lookahead).eval()


def sound(columns: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(batch, ROWS, columns, generator=torch.Generator().manual_seed(seed))


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def touched(body: Callable[[Tensor], Tensor], columns: int, step: int) -> tuple[int, int]:
    """The first and the last column that the answer at a step depends on."""
    heard = sound(columns).requires_grad_()
    body(heard)[0, :, step].square().sum().backward()
    assert heard.grad is not None
    places = heard.grad[0].abs().sum(dim=0).nonzero().flatten()
    return int(places.min()), int(places.max())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 161])
def test_every_network_answers_forty_times_a_second(name: str, columns: int) -> None:
    answer = network(name)(sound(columns, batch=2))
    assert answer.shape == (2, COORDINATES, -(-columns // STRIDE))
    assert answer.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_is_answered_as_its_members_alone(name: str) -> None:
    body, heard = network(name), sound(61, batch=3)
    alone = torch.cat([body(heard[place : place + 1]) for place in range(3)])
    torch.testing.assert_close(body(heard), alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights_and_nothing_else_moves(name: str) -> None:
    state, heard = torch.get_rng_state(), sound(40)
    first, again, other = (network(name, seed=seed)(heard) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was moved"


@pytest.mark.parametrize("name", NETWORKS)
def test_other_rows_are_refused(name: str) -> None:
    with pytest.raises(ShapeError):
        network(name)(torch.zeros(1, ROWS + 1, 40))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_true(name: str) -> None:
    body, columns, step = network(name), 200, 50
    first, last = touched(body, columns, step)
    back, ahead = body.reach
    assert first == (0 if back is None else step * STRIDE - back)
    assert last == (columns - 1 if ahead is None else step * STRIDE + ahead)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("lookahead", [0, 1, 2, 3, 5, 8, 13, 40])
def test_the_reach_is_true_under_a_bounded_look_ahead(name: str, lookahead: int) -> None:
    body, step = network(name, lookahead), 50
    first, last = touched(body, 200, step)
    back, ahead = body.reach
    assert last == step * STRIDE + ahead
    assert ahead <= lookahead
    assert first == (0 if back is None else step * STRIDE - back)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("lookahead", [0, 3, 8, 24])
def test_what_comes_after_the_look_ahead_changes_nothing(name: str, lookahead: int) -> None:
    body, heard, now = network(name, lookahead), sound(160), 41
    changed = heard.clone()
    changed[:, :, now * STRIDE + lookahead + 1 :] = torch.nan
    before, after = body(heard), body(changed)
    torch.testing.assert_close(before[..., : now + 1], after[..., : now + 1], atol=1e-6, rtol=0)
    assert after[..., -1].isnan().all()


@pytest.mark.parametrize("name", BOUNDED)
def test_a_look_ahead_as_wide_as_the_reach_bounds_nothing(name: str) -> None:
    free = network(name)
    assert free.reach.ahead is not None
    bounded, heard = network(name, free.reach.ahead), sound(90)
    assert bounded.reach == free.reach
    torch.testing.assert_close(bounded(heard), free(heard))


@pytest.mark.parametrize("name", ["tcn", "audiodvp"])
def test_a_piece_with_its_surroundings_gives_what_the_whole_gives(name: str) -> None:
    body, heard = network(name, lookahead=5), sound(300)
    before, after = body.reach.columns_around()
    piece = body(heard[:, :, 100 - before : 160 + after])[..., before // STRIDE :][..., :30]
    torch.testing.assert_close(piece, body(heard)[..., 50:80], atol=1e-6, rtol=1e-5)


def test_the_bidirectional_network_refuses_a_bound() -> None:
    with pytest.raises(ConfigError, match="hears a recording to its end") as refused:
        network("bilstm", lookahead=8)
    assert refused.value.remedy


def test_the_lstm_answers_late_by_its_delay() -> None:
    # A memory that forgets at once and a head that reads it: what comes out now came in now,
    # so the answer at a step must be the sound 200 ms after it.
    body = TimeDelayedLstm(1, 1, LstmConfig(units=1, delay_s=0.2))
    with torch.no_grad():
        for value in body.parameters():
            value.zero_()
        gates = body.memory.bias_ih_l0  # input, forget, cell, output
        gates[0], gates[1], gates[3] = 50.0, -50.0, 50.0
        body.memory.weight_ih_l0[2] = 1e-2
        body.head.weight.fill_(1e2)
    heard = torch.randn(1, 1, 80, generator=torch.Generator().manual_seed(0))
    delay = round(0.2 * COLUMNS_PER_SECOND)
    expected = torch.cat([heard[0, 0, delay::STRIDE], torch.zeros(delay // STRIDE)])
    torch.testing.assert_close(body(heard)[0, 0], expected, atol=1e-2, rtol=0)


def test_the_lstm_has_sixty_units_on_twenty_eight_rows() -> None:
    body = TimeDelayedLstm(28, 20, LstmConfig())
    assert parameters(body) == 4 * (60 * (28 + 60) + 2 * 60) + 20 * (60 + 1)
    assert body.reach == Reach(None, 16)


def test_audiodvp_has_about_sixteen_thousand_parameters() -> None:
    assert parameters(AudioDvpConvolution(256, 64)) == 16_232


def test_audiodvp_is_linear_in_seven_frames_forty_milliseconds_apart() -> None:
    body = AudioDvpConvolution(ROWS, COORDINATES)
    one, two = sound(64), sound(64, seed=1)
    torch.testing.assert_close(
        body(one) + body(two), body(one + two) + body(torch.zeros_like(one)), atol=1e-6, rtol=0
    )
    seconds = [float(offset) / COLUMNS_PER_SECOND for offset in body.offsets]
    assert seconds == pytest.approx([place * 0.04 for place in range(-3, 4)])


def test_audiodvp_reads_between_columns() -> None:
    body = AudioDvpConvolution(ROWS, COORDINATES)
    ramp = torch.arange(80.0).expand(1, ROWS, 80)
    window = body._read_window(ramp)[0, 20, :, 0]
    torch.testing.assert_close(window, 40 + torch.tensor([float(o) for o in body.offsets]))


def test_audiodvp_needs_enough_rows() -> None:
    with pytest.raises(ConfigError, match="rows of features"):
        AudioDvpConvolution(6, 2)


def test_the_convolutional_network_keeps_the_names_of_its_weights() -> None:
    names = set(network("ours").state_dict())
    parts = ["stem", "head", *(f"blocks.{n}.{part}" for n in range(3) for part in ("wide", "mix"))]
    kinds = ("weight", "bias")
    expected = itertools.product(range(2), parts, kinds)
    assert names == {f"members.{member}.{part}.{kind}" for member, part, kind in expected}


def test_ours_is_the_mean_of_members_of_the_chosen_body() -> None:
    for body in get_args(BodyName):
        sizes = dataclasses.replace(SIZES, ensemble=EnsembleConfig(members=2, body=body))
        ours, heard = build_network("ours", ROWS, COORDINATES, sizes).eval(), sound(31)
        assert len(ours.members) == 2
        torch.testing.assert_close(ours(heard), ours.each(heard).mean(dim=0))
        assert type(ours.members[0]) is type(network(body).members[0])
        assert is_adversarial("ours", sizes) == (body == "adversarial")


def test_an_ensemble_hears_as_far_as_its_furthest_member() -> None:
    near = TemporalConvolution(ROWS, 1, TcnConfig(dilations=(1,)))
    far = TemporalConvolution(ROWS, 1, TcnConfig(dilations=(1, 8)), lookahead=1)
    assert near.reach == Reach(4, 4)
    assert MouthEnsemble([near, far]).reach == Reach(far.reach.back, 4)
    endless = MouthEnsemble([near, TimeDelayedLstm(ROWS, 1, LstmConfig())])
    assert endless.reach == Reach(None, 16)


def test_the_names_are_those_of_the_settings() -> None:
    assert set(NETWORKS) == set(get_args(NetworkName)) == {"ours", *get_args(BodyName)}
    assert all(NETWORKS[name].wants for name in NETWORKS)
    assert [name for name in NETWORKS if is_adversarial(name, SIZES)] == ["adversarial"]


def test_an_unknown_name_lists_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no network 'gru'") as refused:
        find_architecture("gru")
    assert all(name in refused.value.remedy for name in NETWORKS)


def test_a_negative_look_ahead_is_refused() -> None:
    with pytest.raises(ConfigError, match="look-ahead is -1"):
        network("tcn", lookahead=-1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: TcnConfig(channels=0),
        lambda: TcnConfig(dilations=()),
        lambda: TcnConfig(kernel=4),
        lambda: TcnConfig(dropout=1.0),
        lambda: LstmConfig(units=0),
        lambda: LstmConfig(delay_s=-0.1),
        lambda: BilstmConfig(layers=0),
        lambda: BilstmConfig(dropout=-0.1),
        lambda: CriticConfig(channels=0),
        lambda: CriticConfig(weight=float("nan")),
        lambda: CriticConfig(learning_rate=0),
        lambda: CriticConfig(begin=-1),
        lambda: EnsembleConfig(members=0),
    ],
)
def test_impossible_sizes_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as refused:
        wrong()
    assert refused.value.remedy


def critic() -> MouthCritic:
    return build_critic(ROWS, COORDINATES, CriticConfig(channels=8), seed=3)


def mouths(*batch: int) -> Tensor:
    return torch.randn(*batch, COORDINATES, 20, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("columns", [7, 8, 80])
def test_the_critic_judges_every_step(columns: int) -> None:
    steps = -(-columns // STRIDE)
    mouth = mouths(2)[..., :1].expand(-1, -1, steps)
    assert critic()(mouth, sound(columns, batch=2)).shape == (2, steps)


def test_the_critic_hears_as_well_as_sees() -> None:
    judge, mouth, heard = critic().eval(), mouths(1), sound(40)
    before = judge(mouth, heard)
    assert not torch.allclose(before, judge(mouth, heard + 1))
    assert not torch.allclose(before, judge(mouth + 1, heard))


def test_the_critic_and_the_network_pull_in_opposite_directions() -> None:
    judge, heard = critic(), sound(40)
    real, made = mouths(2, 1).unbind()
    known = torch.ones(1, 20)
    made.requires_grad_()
    critic_loss(judge, real, made, heard, known).backward()
    assert made.grad is None, "the critic's own lesson reached the network"
    fooling_loss(judge, made, heard, known).backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0


def test_a_perfect_critic_has_nothing_to_learn() -> None:
    class Perfect(MouthCritic):
        def forward(self, mouth: Tensor, features: Tensor) -> Tensor:
            return mouth[:, 0]  # 1 in the filmed mouth, 0 in the made one

    judge = Perfect(ROWS, 1, CriticConfig(channels=2))
    filmed, made, known = torch.ones(1, 1, 10), torch.zeros(1, 1, 10), torch.ones(1, 10)
    heard = sound(20)
    assert critic_loss(judge, filmed, made, heard, known) == 0
    assert critic_loss(judge, made, filmed, heard, known) == 1
    assert fooling_loss(judge, made, heard, known) == 0.5
    assert fooling_loss(judge, filmed, heard, known) == 0


def test_what_was_not_filmed_teaches_the_critic_nothing() -> None:
    judge, heard = critic().eval(), sound(40)
    real, made = mouths(2, 1).unbind()
    known = (torch.arange(20) < 8).float()[None]
    spoiled = real.masked_fill(known[:, None] == 0, 9.0)
    torch.testing.assert_close(
        critic_loss(judge, real, made, heard, known),
        critic_loss(judge, spoiled, made, heard, known),
    )
    assert critic_loss(judge, real, made, heard, torch.zeros(1, 20)) == 0


def test_a_critic_learns_to_tell_still_mouths_from_moving_ones() -> None:
    judge, generator = critic(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(judge.parameters(), lr=3e-3)
    known, first = torch.ones(4, 20), None
    for _ in range(60):
        real = torch.randn(4, COORDINATES, 20, generator=generator)
        loss = critic_loss(judge, real, 0.1 * real, sound(40, batch=4), known)
        first = first if first is not None else loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.5 * first


def test_the_seed_decides_the_critic() -> None:
    mouth, heard = mouths(1), sound(40)
    first, again = critic().eval(), critic().eval()
    assert torch.equal(first(mouth, heard), again(mouth, heard))
