"""The options of `metatalk drive`: what each of them sets, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metatalk.cli import main
from metatalk.cli.terminal import stderr


@pytest.fixture(autouse=True)
def _fresh_console() -> Iterator[None]:
    stderr.cache_clear()
    yield
    stderr.cache_clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a stand-in for drive_actor is called with; empty where it is not."""
    seen: dict[str, Any] = {}

    def act(**given: Any) -> dict[str, int]:
        seen.update(given)
        return {"frames": 75}

    module = ModuleType("metatalk.stages.drive")
    module.drive_actor = act  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen


def test_what_an_editor_asks_for_is_handed_over(
    asked: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    actor_root.mkdir(parents=True)
    words = ["drive", str(actor_root), str(footage), "drive.crf=9", "-o", str(tmp_path / "o.mov")]
    words += ["--retime", "speech", "--head-still", "2.5", "--blinks", "replace"]
    words += ["--amplitude", "1.2", "--smoothing", "0.1", "--consonants", "0.3"]
    words += ["--format", "h265", "--bits", "10", "--segments", "1-2,3-4", "--preview", "0:02"]
    words += ["--patch", str(tmp_path / "mouth"), "--plot", str(tmp_path / "way.png")]
    words += ["--markers", str(tmp_path / "a.edl"), "--markers", str(tmp_path / "a.otio")]
    assert main(words) == 0
    drive, order = asked["config"].drive, asked["order"]
    assert (drive.crf, drive.retime, drive.retiming.still) == (9, "speech", 2.5)
    assert drive.eyes.blinks == "replace"
    assert (drive.mouth.amplitude, drive.mouth.smoothing_s, drive.mouth.consonants) == (
        1.2, 0.1, 0.3,
    )  # fmt: skip
    assert (drive.delivery.format, drive.delivery.bits) == ("h265", 10)
    assert (order.segments, order.changed_from, order.preview) == ("1-2,3-4", None, "0:02")
    assert (order.patch, order.plot) == (tmp_path / "mouth", tmp_path / "way.png")
    assert order.markers == (tmp_path / "a.edl", tmp_path / "a.otio")
    other = ["drive", str(actor_root), str(footage), "-o", str(tmp_path / "o.mov")]
    assert main([*other, "--changed-from", str(footage)]) == 0
    order = asked["order"]
    assert (order.segments, order.changed_from, order.markers) == (None, footage, ())


@pytest.mark.parametrize("retime", ["off", "loop", "speech", "pose"])
def test_every_way_to_retime_is_an_option_and_a_setting(
    asked: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path, retime: str
) -> None:
    actor_root.mkdir(parents=True)
    words = ["drive", str(actor_root), str(footage), "-o", str(tmp_path / "o.mp4")]
    for more in (["--retime", retime], [f"drive.retime={retime}"]):
        assert main([*words, *more]) == 0, more
        assert asked["config"].drive.retime == retime


def test_options_that_are_not_given_leave_the_actors_settings(
    asked: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    actor_root.mkdir(parents=True)
    own = {"retime": "pose", "mouth": {"amplitude": 1.5}, "eyes": {"blinks": "remove"}}
    (actor_root / "config.json").write_text(json.dumps({"drive": own}))
    words = ["drive", str(actor_root), str(footage), "-o", str(tmp_path / "o.mp4")]
    assert main(words) == 0
    drive = asked["config"].drive
    assert (drive.retime, drive.mouth.amplitude, drive.eyes.blinks) == ("pose", 1.5, "remove")
    assert main([*words, "--retime", "loop", "--amplitude", "1"]) == 0
    drive = asked["config"].drive
    assert (drive.retime, drive.mouth.amplitude, drive.eyes.blinks) == ("loop", 1.0, "remove")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--head-still", "2"], "--retime speech"),
        (["--head-still", "2", "--retime", "off"], "--retime speech"),
        (["--retime", "backwards"], "--retime"),
        (["--blinks", "none"], "--blinks"),
        (["--amplitude", "-1"], "drive.mouth.amplitude"),
        (["--smoothing", "much"], "--smoothing"),
        (["--consonants", "3"], "drive.mouth.consonants"),
        (["--bits", "12"], "drive.delivery.bits"),
        (["--format", "prores422hq", "--bits", "8"], "drive.delivery.bits"),
        (["--format", "gif"], "drive.delivery.format"),
        (["--changed-from", "nothing.wav"], "nothing.wav"),
        (["--segments", "1-2", "--changed-from", "CLIP"], "--changed-from"),
        (["--patch", "OUT"], "one name"),
        (["--face", "1"], "there is no --target"),
        (["--markers", "a.edl", "--plot", "a.edl"], "one name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_contradicts_itself_is_told_before_any_work(
    asked: dict[str, Any],
    footage: Path,
    actor_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    actor_root.mkdir(parents=True)
    out = tmp_path / "o.mp4"
    names = {"CLIP": str(footage), "OUT": str(out)}
    words = ["drive", str(actor_root), str(footage), "-o", str(out)]
    assert main([*words, *(names.get(word, word) for word in options)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not asked


@pytest.mark.parametrize("retime", ["speech", "pose"])
def test_a_still_head_may_be_asked_of_an_actor_that_is_retimed(
    asked: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path, retime: str
) -> None:
    actor_root.mkdir(parents=True)
    (actor_root / "config.json").write_text(json.dumps({"drive": {"retime": retime}}))
    words = ["drive", str(actor_root), str(footage), "-o", str(tmp_path / "o.mp4")]
    assert main([*words, "--head-still", "3"]) == 0
    assert asked["config"].drive.retiming.still == 3.0


@pytest.mark.parametrize(
    "options",
    [
        ["--retime", "speech"],
        ["--head-still", "1"],
        ["--blinks", "keep"],
        ["--plot", "way.png"],
        ["--segments", "1-2"],
        ["--changed-from", "CLIP"],
        ["--preview", "0:01"],
        ["--format", "h265"],
        ["--bits", "10"],
        ["--patch", "mouth"],
        ["--markers", "a.edl"],
        ["--other-person"],
        ["--performer-face", "0"],
        ["--transcript", "Hello."],
    ],
    ids=lambda words: words[0],
)
def test_a_stream_is_refused_what_needs_a_whole_recording(
    actor_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    monkeypatch.setattr("metatalk.stages.live.drive_live", lambda **_: {})
    actor_root.mkdir(parents=True)
    words = ["drive", str(actor_root), "-", "-o", str(tmp_path / "out.mkv")]
    assert main(words) == 0
    assert main([*words, *options]) == 2
    assert f"{options[0]} has no meaning" in capsys.readouterr().err


def test_a_stream_s_mouth_is_turned_as_a_recording_s(
    actor_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "metatalk.stages.live.drive_live", lambda **given: asked.update(given) or {}
    )
    actor_root.mkdir(parents=True)
    words = ["drive", str(actor_root), "-", "-o", str(tmp_path / "out.mkv")]
    knobs = ["--amplitude", "1.2", "--smoothing", "0.1", "--consonants", "0.3"]
    assert main([*words, *knobs]) == 0
    mouth = asked["config"].drive.mouth
    assert (mouth.amplitude, mouth.smoothing_s, mouth.consonants) == (1.2, 0.1, 0.3)
