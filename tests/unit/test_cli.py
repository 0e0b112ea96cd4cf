from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metatalk.cli import main
from metatalk.cli.terminal import stderr
from metatalk.errors import FittingError, StaleArtefactError
from metatalk.stages.performer import Performer
from metatalk.stages.stage import STAGE_NAMES
from metatalk.workspace.ledger import read_ledger

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(autouse=True)
def _fresh_console() -> Iterator[None]:
    stderr.cache_clear()
    yield
    stderr.cache_clear()


@pytest.fixture
def orchestra(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand-ins for train_actor and drive_actor; what they were called with, what they do."""
    seen: dict[str, Any] = {
        "answer": {"fit": {"landmark_error_px": 1.25, "note": "[x]", "seconds": 2.0}}
    }

    def act(**given: Any) -> Any:
        seen["given"] = given
        print("a library's chatter")
        if isinstance(seen["answer"], BaseException):
            raise seen["answer"]
        return seen["answer"]

    for name in ("train", "drive"):
        module = ModuleType(f"metatalk.stages.{name}")
        setattr(module, f"{name}_actor", act)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen


def test_train_hands_everything_over(
    orchestra: dict[str, Any], footage: Path, actor_root: Path
) -> None:
    words = ["train", str(footage), "--actor", str(actor_root), "--preset", "tiny", "--face", "1"]
    assert main([*words, "--rerun", "fit,render", "--rerun", "train_a2e", "seed=4"]) == 0
    given = orchestra["given"]
    assert (given["clip"], given["actor"], given["last"]) == (footage, actor_root, None)
    assert given["rerun"] == {"fit", "render", "train_a2e"}
    assert (given["config"].seed, given["config"].landmarks.face) == (4, 1)


def test_json_is_all_there_is_on_standard_output(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(footage), "--actor", str(actor_root), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == orchestra["answer"]
    assert "chatter" in captured.err


def test_table_shows_the_metrics(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(footage), "--actor", str(actor_root)]) == 0
    assert "landmark_error_px 1.25  note [x]" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [[], ["--json"], ["-v"]])
def test_what_the_user_can_mend_exits_with_2_and_the_remedy(
    orchestra: dict[str, Any],
    footage: Path,
    actor_root: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    orchestra["answer"] = FittingError("no face in 75 frames", "show [the] face")
    assert main(["train", str(footage), "--actor", str(actor_root), *flags]) == 2
    captured = capsys.readouterr()
    assert "error: no face in 75 frames" in captured.err
    assert "remedy: show [the] face" in captured.err
    assert "Traceback" not in captured.err
    assert not flags or flags == ["-v"] or captured.out == ""


def test_our_bugs_keep_their_traceback(
    orchestra: dict[str, Any], footage: Path, actor_root: Path
) -> None:
    orchestra["answer"] = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        main(["train", str(footage), "--actor", str(actor_root)])


def test_interruption_exits_with_130(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orchestra["answer"] = KeyboardInterrupt()
    assert main(["train", str(footage), "--actor", str(actor_root)]) == 130
    assert "go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["train"],
        ["no-such-command"],
        ["train", "nothing.mp4", "--actor", "a"],
        ["train", ".", "--actor", "a"],
        ["stage", "fitt", "CLIP", "--actor", "a"],
        ["train", "CLIP", "--actor", "a", "--preset", "drft"],
        ["train", "CLIP", "--actor", "a", "--config", "nothing.yaml"],
        ["train", "CLIP", "--actor", "a", "neural.stepz=1"],
        ["train", "CLIP", "--actor", "a", "--consent", "nothing.json"],
        ["drive", "nobody", "CLIP", "-o", "out.mp4"],
        ["drive", "nobody", "nothing.wav", "-o", "out.mp4"],
        ["drive", ".", "-o", "out.mp4"],
        ["drive", ".", "drive.crf=20", "-o", "out.mp4"],
        ["drive", ".", "--expression-from", "nothing.mp4", "-o", "out.mp4"],
        ["drive", ".", "CLIP", "--other-person", "-o", "out.mp4"],
        ["drive", ".", "CLIP", "--performer-face", "0", "-o", "out.mp4"],
        ["evaluate", "CLIP", "nothing.mp4"],
        ["evaluate", "CLIP", "CLIP", "-o", "CLIP"],
        ["evaluate", "CLIP", "CLIP", "-o", "CLIP/report.md"],
        ["evaluate", "CLIP", "CLIP", "-o", "."],
    ],
)
def test_wrong_commands_exit_with_2(
    orchestra: dict[str, Any],
    footage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([word.replace("CLIP", footage.name) for word in words]) == 2
    assert "given" not in orchestra


def test_footage_is_recorded_once_with_its_consent(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    words = ["train", str(footage), "--actor", str(actor_root)]
    assert main(words) == 0
    assert "not on record" in read_ledger(actor_root)[0].terms
    consent = tmp_path / "consent.json"
    consent.write_text(
        '{"actor": "Jane", "scope": "a test", "granted_by": "Jane", "date": "2025-01-01"}'
    )
    assert main([*words, "--consent", str(consent)]) == 0
    assert main(words) == 0  # going on without the flag forgets nothing
    assert [entry.terms for entry in read_ledger(actor_root)] == ["Jane: a test, granted by Jane"]


def test_a_run_that_is_refused_leaves_the_ledger_alone(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(footage), "--actor", str(actor_root)]) == 0
    before = read_ledger(actor_root)
    other = footage.with_name("other.mp4")
    other.write_bytes(b"someone else")
    orchestra["answer"] = StaleArtefactError("ingest was made from something else", "--rerun")
    capsys.readouterr()
    assert main(["train", str(other), "--actor", str(actor_root)]) == 2
    assert "other.mp4: consent is not on record" in capsys.readouterr().err
    assert read_ledger(actor_root) == before
    orchestra["answer"] = {}
    assert main(["train", str(other), "--actor", str(actor_root), "--rerun", "all"]) == 0
    assert [entry.name for entry in read_ledger(actor_root)] == ["other.mp4"]


def test_an_actor_folder_below_a_file_has_a_remedy(
    orchestra: dict[str, Any], footage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(footage), "--actor", str(footage / "jane")]) == 2
    assert "remedy" in capsys.readouterr().err


def test_stages_and_tools_record_footage_too(
    orchestra: dict[str, Any],
    footage: Path,
    actor_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(footage), "--actor", str(actor_root)]
    assert main(["stage", "fit", *words]) == 0
    assert "consent is not on record" in capsys.readouterr().err
    assert [entry.terms for entry in read_ledger(actor_root)] == ["consent not on record"]
    consent = tmp_path / "consent.json"
    consent.write_text(
        '{"actor": "Jane", "scope": "a test", "granted_by": "Jane", "date": "2025-01-01"}'
    )
    assert main([*words, "--consent", str(consent)], last="ingest") == 0
    assert "not on record" not in capsys.readouterr().err
    assert [entry.terms for entry in read_ledger(actor_root)] == ["Jane: a test, granted by Jane"]


def test_the_report_goes_into_a_folder_that_is_made(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("metatalk.evaluate.dub")
    module.evaluate_dub = lambda real, generated: {"lag_frames": 0}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    report = tmp_path / "no" / "such" / "dir" / "r.md"
    assert main(["evaluate", str(footage), str(footage), "-o", str(report)]) == 0
    assert "lag_frames" in report.read_text()


def test_actors_own_settings_are_taken_again(
    orchestra: dict[str, Any], footage: Path, actor_root: Path
) -> None:
    actor_root.mkdir(parents=True)
    (actor_root / "config.json").write_text('{"seed": 9, "neural": {"steps": 123}}')
    words = ["train", str(footage), "--actor", str(actor_root)]
    assert main([*words, "neural.batch=3"]) == 0
    config = orchestra["given"]["config"]
    assert (config.seed, config.neural.steps, config.neural.batch) == (9, 123, 3)
    assert main([*words, "--preset", "tiny"]) == 0
    assert orchestra["given"]["config"].seed == 0


def test_drive_hands_everything_over(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    actor_root.mkdir(parents=True)
    orchestra["answer"] = {"frames": 75}
    out = tmp_path / "out.mp4"
    words = ["drive", str(actor_root), str(footage), "-o", str(out), "--target", str(footage)]
    assert main([*words, "--length", "video", "drive.crf=20", "--json"]) == 0
    given = orchestra["given"]
    order = given["order"]
    assert (order.actor, order.audio, order.output) == (actor_root, footage, out)
    assert order.target == footage
    assert (given["config"].drive.length, given["config"].drive.crf) == ("video", 20)


def test_drive_without_a_recording_takes_its_first_setting_for_none(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    actor_root.mkdir(parents=True)
    orchestra["answer"] = {"frames": 75}
    words = ["drive", str(actor_root), "drive.crf=20", "seed=3", "-o", str(tmp_path / "out.mp4")]
    words += ["--expression-from", str(footage), "--other-person", "--performer-face", "1"]
    assert main(words) == 0
    given = orchestra["given"]
    assert given["order"].audio is None
    assert (given["config"].drive.crf, given["config"].seed) == (20, 3)
    assert given["order"].performer == Performer(footage, other_person=True, face=1)
    assert main([*words[:2], str(footage), *words[2:]]) == 0
    assert orchestra["given"]["order"].audio == footage


def test_a_recording_may_have_an_equals_sign_in_its_name(
    orchestra: dict[str, Any], footage: Path, actor_root: Path, tmp_path: Path
) -> None:
    actor_root.mkdir(parents=True)
    orchestra["answer"] = {"frames": 75}
    recording = footage.with_name("take=2.wav")
    recording.write_bytes(footage.read_bytes())
    assert main(["drive", str(actor_root), str(recording), "-o", str(tmp_path / "o.mp4")]) == 0
    assert orchestra["given"]["order"].audio == recording
    assert orchestra["given"]["order"].performer is None


@pytest.mark.parametrize("tool", sorted(TOOLS.glob("*.py")), ids=lambda path: path.stem)
def test_thin_tools_run_a_stage_that_exists(tool: Path) -> None:
    source = tool.read_text(encoding="utf-8")
    if "last=" in source:
        assert source.split('last="')[1].split('"')[0] in STAGE_NAMES
        assert len(source.splitlines()) <= 8


def test_tool_is_the_stage_command(
    orchestra: dict[str, Any], footage: Path, actor_root: Path
) -> None:
    assert main([str(footage), "--actor", str(actor_root)], last="fit") == 0
    assert orchestra["given"]["last"] == "fit"


def test_every_stage_has_a_tool() -> None:
    sources = [path.read_text(encoding="utf-8") for path in TOOLS.glob("*.py")]
    # a command of the stage's own name runs the stages up to it, and does more
    calls = ('last="{}"', 'main(["{}", ')
    run = {n for n in STAGE_NAMES if any(call.format(n) in s for s in sources for call in calls)}
    assert run == set(STAGE_NAMES)


def test_doctor_tells_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"machine", "libraries", "device", "face models", "teacher"} <= {
        finding["topic"] for finding in findings
    }
    assert all(finding["found"] or finding["adds"] for finding in findings)


def test_doctor_tells_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "mediapipe" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_are_quick(word: str) -> None:
    """They load nothing of what takes seconds to load."""
    slow = ("numpy", "torch", "cv2", "mediapipe", "numba", "librosa", "av", "scipy", "anny")
    code = (
        "import sys; from metatalk.cli import main\n"
        f"code = main([{word!r}])\n"
        f"print([name for name in {slow!r} if name in sys.modules], file=sys.stderr)\n"
        "raise SystemExit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.strip()) == (0, "[]")
    assert "metatalk" in ended.stdout
