"""The benchmark of the way from sound to mouth: its tables hold what they head."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from a2e_trial_toys import TINY, keep_film, toy_film, trial_tools
from mouth_toys import mouth_model

from metatalk.a2e.architectures.choice import NETWORKS
from metatalk.errors import ConfigError


@pytest.fixture(scope="module")
def tools() -> Iterator[SimpleNamespace]:
    with trial_tools() as found:
        yield found


@pytest.fixture(scope="module")
def film(tools: SimpleNamespace) -> Any:
    return toy_film(tools.footage)


@pytest.fixture(scope="module")
def other(tools: SimpleNamespace) -> Any:
    return toy_film(tools.footage, "other", 4.0, 5)


@pytest.fixture(scope="module")
def tiny(tools: SimpleNamespace) -> Any:
    return tools.trial.Bench(mouth_model(), TINY, offset_s=0.0)


# -- tables ----------------------------------------------------------------------------------------


def test_networks_stand_beside_the_reference(
    tools: SimpleNamespace, tiny: Any, film: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tools.tables, "minute_ms", lambda _: (20.0, 5.0))
    names = ",".join([*(name for name in NETWORKS if name != "audiodvp"), tools.tables.ALONE])
    rows = list(tools.tables.networks(tiny, [film], (4.0, 6.0), None, names))
    assert rows[0]["network"] == "bilstm"
    assert rows[0]["MSE, mm² ×"] == rows[0]["training, s ×"] == rows[1]["ms a minute ×"] == 1
    assert rows[-1]["network"] == "always the mean"
    by_name = {row["network"]: row for row in rows}
    assert set(by_name) == {*names.split(","), "always the mean"}
    assert by_name["time_delayed_lstm"]["features"] == "mfcc"
    tcn = by_name["tcn"]
    assert tcn["MSE, mm² ×"] == pytest.approx(tcn["MSE, mm²"] / rows[0]["MSE, mm²"])
    assert by_name["ours"]["MSE, mm²"] != by_name[tools.tables.ALONE]["MSE, mm²"]
    assert all(set(row) <= set(rows[0]) for row in rows)


def test_all_networks_may_be_given_the_same_features(
    tools: SimpleNamespace, tiny: Any, film: Any
) -> None:
    rows = list(tools.tables.networks(tiny, [film], None, "mel+mfcc", "tcn"))
    assert rows[0]["features"] == "mel+mfcc"
    assert rows[0]["MSE, mm² ×"] == "–"


def test_an_unknown_network_is_refused_by_name(
    tools: SimpleNamespace, tiny: Any, film: Any
) -> None:
    with pytest.raises(ConfigError, match="no network 'wizard'") as refused:
        list(tools.tables.networks(tiny, [film], None, None, "wizard"))
    assert tools.tables.ALONE in refused.value.remedy


def test_a_curve_asks_about_the_same_speech(tools: SimpleNamespace, tiny: Any, film: Any) -> None:
    rows = list(tools.tables.curve(tiny, film, [2.0, 4.0, 99.0], 6.0))
    assert [row["footage, s"] for row in rows] == [2.0, 4.0]
    assert all(row["training, s"] > 0 and -1 <= row["r gap"] <= 1 for row in rows)
    [only] = tools.tables.curve(tiny, film, [99.0], 6.0)
    assert only["footage, s"] == 6.0


def test_voices_end_with_their_mean_and_worst(
    tools: SimpleNamespace, tiny: Any, film: Any, other: Any
) -> None:
    third = toy_film(tools.footage, "third", 3.0, 9)
    one, two, mean, worst = tools.tables.voices(tiny, film, [other, third], None)
    assert [row["voice"] for row in (one, two, mean, worst)] == ["other", "third", "mean", "worst"]
    assert mean["r gap"] == pytest.approx((one["r gap"] + two["r gap"]) / 2)
    assert worst["r gap"] == min(one["r gap"], two["r gap"])


def test_each_voice_is_left_out_once(
    tools: SimpleNamespace, tiny: Any, film: Any, other: Any
) -> None:
    rows = list(tools.tables.leave_one_out(tiny, [film, other], pooled=False))
    assert [row["actor"] for row in rows] == ["toy", "other"]
    assert [row[row["actor"]] for row in rows] == ["–", "–"]
    assert rows[0]["other"].startswith(f"{rows[0]['r gap']:.2f} / ")
    pooled = list(tools.tables.leave_one_out(tiny, [film, other], pooled=True))
    assert [row["left out"] for row in pooled] == ["toy", "other"]
    # Of two voices one is left to learn from.
    assert pooled[0]["r gap"] == pytest.approx(rows[1]["r gap"])
    with pytest.raises(ConfigError, match="leaves none"):
        list(tools.tables.leave_one_out(tiny, [film], pooled=False))


def test_features_are_heard_as_they_are_named(
    tools: SimpleNamespace, tiny: Any, film: Any, other: Any
) -> None:
    rows = list(tools.tables.features(tiny, film, [other], None, ["mel", "mel+mfcc", "mfcc"]))
    assert [row["features"] for row in rows] == ["mel", "mel+mfcc", "mfcc"]
    assert len({row["unheard r gap"] for row in rows}) == 3
    deaf = tools.tables.with_features(tiny, "mfcc").config
    assert (deaf.augment.drop_mel, deaf.kernel.foreign) == (1.0, 1.0)
    assert tools.tables.with_features(tiny, "mel").config.augment == tiny.config.augment
    with pytest.raises(ConfigError, match="no features 'scent'") as refused:
        tools.tables.with_features(tiny, "mel+scent")
    assert "mfcc" in refused.value.remedy


def test_folds_are_averaged_row_by_row(tools: SimpleNamespace) -> None:
    runs = [
        [{"network": "tcn", "r gap": r, "lag, frames": lag}] for r, lag in ((0.2, -1), (0.4, 1))
    ]
    assert tools.tables.averaged(runs) == [
        {"network": "tcn", "r gap": pytest.approx(0.3), "lag, frames": 1.0}
    ]


def test_lookahead_says_how_late_it_is(tools: SimpleNamespace, tiny: Any, film: Any) -> None:
    offline, mel, none, some = tools.tables.lookahead(tiny, film, [0, 100], None)
    assert [offline["hears"], mel["hears"]] == ["mel", "mel"]
    assert math.isnan(offline["latency, ms"])
    # The mel's window reaches 25 ms ahead, and a step is decided once the next has been heard.
    assert none["latency, ms"] == pytest.approx(50, abs=13)
    assert some["latency, ms"] == pytest.approx(none["latency, ms"] + 100, abs=13)
    assert -1 <= some["r gap"] <= 1


def test_silence_is_told_from_speech(tools: SimpleNamespace, tiny: Any, film: Any) -> None:
    quiet = film.samples.copy()
    quiet[64_000:] = 0
    rows = list(tools.tables.silence(tiny, replace(film, samples=quiet), [], 0.5))
    assert [row["mouth"] for row in rows] == ["filmed", *["predicted"] * 3]
    assert 80 < rows[0]["silent frames"] == rows[1]["silent frames"] < 92  # of 100, settled
    assert rows[0]["in silence, mm/s"] > 10 * rows[1]["in silence, mm/s"]
    zeros = next(row for row in rows if row["sound"] == "digital zeros")
    assert zeros["in silence, mm/s"] == pytest.approx(0, abs=1e-3)
    assert math.isnan(zeros["energy, silence to speech"])


# -- the command -----------------------------------------------------------------------------------


def test_a_table_is_printed_and_kept(
    tools: SimpleNamespace, film: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    keep_film(film, tmp_path / "clip")
    monkeypatch.setattr(tools.trial, "open_face_model", lambda *_: mouth_model())
    words = ["a2e.steps=1", "a2e.voices.copies=0", "a2e.encoder.source=none", "a2e.batch=2"]
    words += ["a2e.activity.detector=level", "a2e.components=2"]
    kept = tmp_path / "rows.json"
    argv = ["silence", str(tmp_path / "clip"), "--offset=0", "--json", str(kept), *words]
    assert tools.main.main(argv) == 0
    head, rule, *lines = capsys.readouterr().out.splitlines()
    rows = json.loads(kept.read_text())
    assert head.count("|") == rule.count("|") == lines[0].count("|")
    assert len(lines) == len(rows) == 4
    assert rows[2]["energy, silence to speech"] is None
    assert lines[2].endswith("| – |")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["curve", "a2e.steps=1"], "no footage was named"),
        (["voices", "FIT"], "no other voice"),
        (["curve", "FIT", "--seconds", "short"], "are no numbers"),
        (["features", "FIT", "--train-to", "5", "--test-from", "3"], "learned from up to"),
        (["curve", "FIT", "a2e.stops=1"], "unknown key"),
        (["curve", "FIT", "--seconds", "3", "a2e.stops=1"], "unknown key"),
        (["lookahead", "FIT", "--folds", "1"], "--folds is 1"),
        (["curve", "nowhere.mp4"], "neither a folder nor a file"),
    ],
)
def test_what_cannot_be_is_said(
    tools: SimpleNamespace,
    film: Any,
    tmp_path: Path,
    monkeypatch: Any,
    capsys: Any,
    words: list[str],
    problem: str,
) -> None:
    keep_film(film, tmp_path / "clip")
    monkeypatch.setattr(tools.trial, "open_face_model", lambda *_: mouth_model())
    assert tools.main.main([w.replace("FIT", str(tmp_path / "clip")) for w in words]) == 2
    assert problem in capsys.readouterr().err


def test_values_have_the_decimals_of_their_column(tools: SimpleNamespace) -> None:
    cell = tools.main._cell
    assert cell("worst r gap", 0.81234) == "0.812"
    assert cell("MSE, mm²", 0.81234) == "0.8123"
    assert cell("training, s ×", 0.0123456) == "0.0123"
    assert cell("parameters", 175112) == "175,112"
    assert cell("latency, ms", math.nan) == "–"
