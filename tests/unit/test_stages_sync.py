"""Judging a clip from beginning to end, with a toy judge and with the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sync_toys import toy_judge, toy_signal, toy_sound, toy_watched

from metatalk.cli import main
from metatalk.errors import MediaError
from metatalk.lipsync.judge_trial import EARLIER, FROZEN, LATER, REAL, SHUFFLED
from metatalk.lipsync.sync_config import SyncConfig
from metatalk.stages import sync as stage
from metatalk.stages.sync import judge_watched, watch_clip
from metatalk.stages.sync_report import draw_report

CONFIG = SyncConfig()


def test_a_clip_is_judged_and_believed(tmp_path: Path) -> None:
    report = judge_watched(toy_watched(tmp_path, lead_frames=2), toy_judge(), CONFIG, check=True)
    assert report.figures.offset_frames == 2
    assert report.figures.windows == 145
    assert report.is_trusted
    document = json.loads(json.dumps(report.document()))
    assert document["offset"] == "the sound leads by 80 ms"
    assert (document["offset_ms"], document["LSE-C*"] > 0.3) == (80, True)
    assert "LSE-D" not in document
    assert list(document["versions"]) == [REAL, EARLIER, LATER, SHUFFLED, FROZEN]
    assert document["versions"][FROZEN]["LSE-C*"] < document["LSE-C*"] / 3
    assert document["versions"][EARLIER]["offset_frames"] == 7


def test_sound_of_something_else_is_not_believed(tmp_path: Path) -> None:
    watched = toy_watched(tmp_path)
    report = judge_watched(
        replace(watched, samples=toy_sound(toy_signal(150, seed=9))), toy_judge(), CONFIG
    )
    assert report.is_trusted is False
    assert report.trust.startswith("not to be trusted on this clip")
    document = json.loads(json.dumps(report.document()))
    assert (document["trusted"], document["LSE-C*"], document["offset_ms"]) == (False, None, None)
    assert (document["runs"], len(document["untrusted"]["runs"])) == ([], 1)
    assert document["untrusted"]["LSE-C*"] == pytest.approx(report.figures.confidence, abs=1e-4)


def test_every_shot_is_judged_by_itself_and_all_together(tmp_path: Path) -> None:
    watched = toy_watched(tmp_path, 200, lead_frames=-3, cuts=(60, 140), faceless=slice(80, 90))
    report = judge_watched(watched, toy_judge(batch=7), CONFIG)
    spans = [(run.shot, run.start_s, run.end_s) for run, _ in report.runs]
    assert spans == [(0, 0.0, 2.4), (1, 3.6, 5.6), (2, 5.6, 8.0)]
    assert [figures.offset_frames for _, figures in report.runs] == [-3, -3, -3]
    assert report.figures.windows == sum(figures.windows for _, figures in report.runs) == 155
    weighted = sum(figures.windows * figures.distance for _, figures in report.runs) / 155
    assert report.figures.distance == pytest.approx(weighted, rel=0.02)
    assert [each.reason for each in report.left_out] == ["under two seconds", "no face"]


def test_a_clip_of_another_rate_is_judged_at_25(tmp_path: Path) -> None:
    watched = toy_watched(tmp_path, 200, rate=50, lead_frames=1)
    report = judge_watched(watched, toy_judge(), CONFIG)
    assert (report.figures.offset_frames, report.figures.windows) == (1, 95)


def test_a_clip_may_be_judged_from_a_moment_on(tmp_path: Path) -> None:
    report = judge_watched(toy_watched(tmp_path), toy_judge(), CONFIG, from_s=2.0)
    assert (report.figures.windows, report.runs[0][0].start_s) == (95, 2.0)


def test_two_seconds_have_a_verdict_that_nobody_checked(tmp_path: Path) -> None:
    report = judge_watched(toy_watched(tmp_path, 50), toy_judge(), CONFIG)
    assert report.is_trusted is None
    assert "not known" in report.trust


def test_clips_that_cannot_be_judged_say_why(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="under two seconds"):
        judge_watched(toy_watched(tmp_path, 49), toy_judge(), CONFIG)
    silent = toy_watched(tmp_path)
    silent.samples[:] = 0
    with pytest.raises(MediaError, match="silence"):
        judge_watched(silent, toy_judge(), CONFIG)
    with pytest.raises(MediaError, match="no sound"):
        watch_clip(silent.clip, None)  # type: ignore[arg-type]


def test_the_plot_has_a_picture_for_every_report(tmp_path: Path) -> None:
    report = judge_watched(toy_watched(tmp_path, 200, cuts=(100,)), toy_judge(), CONFIG)
    picture = draw_report(report, "toy")
    assert picture.shape == (640, 1100, 3)
    blue = (picture.astype(int) - (0, 0x72, 0xB2)).__abs__().sum(axis=2) < 30
    assert blue.sum() > 500  # the curves


@pytest.fixture
def toy_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip for the command line, which finds no face in it and has no weights."""
    watched = toy_watched(tmp_path, lead_frames=-1)
    monkeypatch.setattr(stage, "watch_clip", lambda *_: watched)
    monkeypatch.setattr(stage, "open_configured_judge", lambda *_: toy_judge())
    return watched.clip


def test_the_command_prints_and_draws(toy_command: Path, capsys) -> None:
    assert main(["sync", str(toy_command)]) == 0
    printed = capsys.readouterr().out
    assert "offset: -1 frames, -40 ms (the sound lags by 40 ms)" in printed
    assert "LSE-C*: " in printed
    assert "toy.safetensors, trained here" in printed
    assert "terms: a toy" in printed
    assert toy_command.with_name("toy.sync.png").is_file()


def test_the_command_gives_no_verdict_of_a_judge_that_is_not_to_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    strange = replace(toy_watched(tmp_path), samples=toy_sound(toy_signal(150, seed=9)))
    monkeypatch.setattr(stage, "watch_clip", lambda *_: strange)
    monkeypatch.setattr(stage, "open_configured_judge", lambda *_: toy_judge())
    assert main(["sync", str(strange.clip)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("no verdict: not to be trusted on this clip")
    assert "LSE" not in printed
    assert "offset" not in printed
    assert strange.clip.with_name("toy.sync.png").is_file()


def test_a_plot_is_a_png(toy_command: Path, tmp_path: Path, capsys) -> None:
    assert main(["sync", str(toy_command), "--plot", str(tmp_path / "plot.pdf")]) == 2
    assert "ends in .png" in capsys.readouterr().err


def test_syncnets_weights_are_only_taken_for_the_official_ones(tmp_path: Path) -> None:
    theirs = replace(toy_judge(), ours=False)
    report = judge_watched(toy_watched(tmp_path), theirs, CONFIG)
    assert "taken for the official weights: sha256 000" in report.document()["judge"]


def test_only_the_first_seconds_are_judged_where_that_is_enough(tmp_path: Path) -> None:
    report = judge_watched(toy_watched(tmp_path), toy_judge(), CONFIG, most_s=3.0)
    assert report.figures.windows == len(report.lips[0]) == len(report.sound[0]) == 70


def test_the_command_lists_shots_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    watched = toy_watched(tmp_path, 150, cuts=(60, 90))
    monkeypatch.setattr(stage, "watch_clip", lambda *_: watched)
    monkeypatch.setattr(stage, "open_configured_judge", lambda *_: toy_judge())
    assert main(["sync", str(watched.clip), "--check"]) == 0
    printed = capsys.readouterr().out
    assert "0.00" in printed
    assert "3.60" in printed
    assert FROZEN in printed
    assert "not judged: 1.2 s in 1 stretches (under two seconds)" in printed


def test_the_command_answers_machines(toy_command: Path, tmp_path: Path, capsys) -> None:
    plot = tmp_path / "there" / "p.png"
    assert main(["sync", str(toy_command), "--json", "--check", "--plot", str(plot)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["offset_ms"], document["trusted"]) == (-40, True)
    assert plot.is_file()


def test_without_a_judge_the_command_says_where_one_comes_from(tmp_path: Path, capsys) -> None:
    clip = toy_watched(tmp_path).clip
    assert main(["sync", str(clip)]) == 2
    printed = capsys.readouterr().err
    assert "no judge of lip sync is set" in printed
    assert "syncnet_v2.model" in printed
