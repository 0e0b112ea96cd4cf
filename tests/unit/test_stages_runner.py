from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from metatalk.config import load_config
from metatalk.errors import ConfigError, MediaError, MissingAssetError, StaleArtefactError
from metatalk.stages.render import RENDER
from metatalk.stages.stage import STAGE_NAMES, Progress, Stage, _cause, run_stages
from metatalk.workspace.manifest import Metrics


@dataclass(frozen=True)
class Fit:
    steps: int = 3


@dataclass(frozen=True)
class Settings:
    fit: Fit = Fit()
    seed: int = 0
    device: str = "cpu"


class Calls(list[str]):
    """Toy stages that note when they are computed."""

    def fit(
        self, inputs: Mapping[str, Path], config: Fit, out: Path, progress: Progress, *, seed: int
    ) -> Metrics:
        self.append("fit")
        assert list(inputs) == ["clip"]
        progress(1, 1)
        text = inputs["clip"].read_text() + str(config.steps) + str(seed)
        (out / "fit.txt").write_text(text)
        return {"error_px": 1.5}

    def render(
        self, inputs: Mapping[str, Path], config: None, out: Path, progress: Progress
    ) -> Metrics:
        self.append("render")
        assert config is None
        progress(1, None, "a note")
        (out / "first.txt").write_text((inputs["fit"] / "fit.txt").read_text()[0])
        return {}

    def train(
        self, inputs: Mapping[str, Path], config: Fit, out: Path, progress: Progress, *, device: str
    ) -> Metrics:
        self.append("train")
        (out / "weights.txt").write_text((inputs["render"] / "first.txt").read_text())
        return {}

    @property
    def stages(self) -> list[Stage]:
        return [
            Stage("fit", ("clip",), 1, self.fit, section="fit", also=("seed",)),
            Stage("render", ("fit",), 1, self.render),
            Stage("train", ("render",), 1, self.train, "fit", also=("device",), resumable=True),
        ]


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_text("hello")
    return path


def run(calls: Calls, root: Path, clip: Path, config: Settings = Settings(), *rerun: str) -> None:
    calls.clear()
    run_stages(calls.stages, root, {"clip": clip}, config, frozenset(rerun))


def test_second_run_does_nothing(calls: Calls, actor_root: Path, clip: Path) -> None:
    first = run_stages(calls.stages, actor_root, {"clip": clip}, Settings())
    assert calls == ["fit", "render", "train"]
    assert first["fit"]["error_px"] == 1.5
    calls.clear()
    assert run_stages(calls.stages, actor_root, {"clip": clip}, Settings()) == first
    assert calls == []


def test_clip_may_move(calls: Calls, actor_root: Path, clip: Path) -> None:
    run(calls, actor_root, clip)
    run(calls, actor_root, clip.rename(clip.with_name("moved.mp4")))
    assert calls == []


def test_changed_setting_is_named_before_any_work(
    calls: Calls, actor_root: Path, clip: Path
) -> None:
    run(calls, actor_root, clip)
    with pytest.raises(StaleArtefactError) as caught:
        run(calls, actor_root, clip, Settings(fit=Fit(steps=4)))
    assert "fit.steps: 3 -> 4" in caught.value.problem
    assert "--rerun fit,render,train" in caught.value.remedy
    assert calls == []
    assert json.loads((actor_root / "config.json").read_text())["fit"]["steps"] == 3


def test_later_stale_stage_stops_the_run_before_an_earlier_works(
    calls: Calls, actor_root: Path, clip: Path
) -> None:
    run(calls, actor_root, clip)
    with pytest.raises(StaleArtefactError, match="train was made"):
        run(calls, actor_root, clip, Settings(fit=Fit(steps=4)), "fit", "render")
    assert calls == []


def test_other_footage_is_refused(calls: Calls, actor_root: Path, clip: Path) -> None:
    run(calls, actor_root, clip)
    clip.write_text("other")
    with pytest.raises(StaleArtefactError, match="input clip: other content"):
        run(calls, actor_root, clip)


def test_new_revision_is_refused(calls: Calls, actor_root: Path, clip: Path) -> None:
    run(calls, actor_root, clip)
    newer = [replace(calls.stages[0], revision=2), *calls.stages[1:]]
    with pytest.raises(StaleArtefactError, match="stage revision: 1 -> 2"):
        run_stages(newer, actor_root, {"clip": clip}, Settings())


def test_same_outputs_keep_later_stages_fresh(calls: Calls, actor_root: Path, clip: Path) -> None:
    run(calls, actor_root, clip)
    run(calls, actor_root, clip, Settings(), "fit")
    assert calls == ["fit"]
    with pytest.raises(StaleArtefactError, match="render was made.*input fit"):
        run(calls, actor_root, clip, Settings(seed=1), "fit")
    run(calls, actor_root, clip, Settings(seed=1), "render")
    assert calls == ["render"]  # its one letter came out the same, so train is fresh


def test_device_is_no_cause(calls: Calls, actor_root: Path, clip: Path) -> None:
    run(calls, actor_root, clip)
    run(calls, actor_root, clip, Settings(device="cuda"))
    assert calls == []


def test_rerun_all_and_unknown_names(calls: Calls, actor_root: Path, clip: Path) -> None:
    run(calls, actor_root, clip)
    run(calls, actor_root, clip, Settings(), "all")
    assert calls == ["fit", "render", "train"]
    with pytest.raises(ConfigError, match="did you mean render"):
        run(calls, actor_root, clip, Settings(), "rendr")
    run(calls, actor_root, clip, Settings(), STAGE_NAMES[-1])  # a stage, though not of this run


def test_failed_stage_leaves_no_artefact(actor_root: Path, clip: Path) -> None:
    def fail(*_: object) -> Metrics:
        raise MediaError("frame 3: broken")

    stage = Stage("ingest", ("clip",), 1, fail)
    with pytest.raises(MediaError):
        run_stages([stage], actor_root, {"clip": clip}, Settings())
    assert not (actor_root / "ingest").exists()


def test_what_is_read_must_be_given(calls: Calls, actor_root: Path, clip: Path) -> None:
    with pytest.raises(MissingAssetError, match="stage render reads fit"):
        run_stages(calls.stages[1:], actor_root, {"clip": clip}, Settings())


def test_finished_artefact_of_another_folder_is_a_source(
    calls: Calls, actor_root: Path, clip: Path
) -> None:
    run(calls, actor_root, clip)
    target = actor_root / "targets" / "one"
    run_stages(calls.stages[1:2], target, {"fit": actor_root / "fit"}, Settings())
    assert (target / "render" / "first.txt").read_text() == "h"
    assert not (target / "fit").exists()


def test_progress_is_made_for_computed_stages_only(
    calls: Calls, actor_root: Path, clip: Path
) -> None:
    seen = []

    @contextmanager
    def factory(stage: str):  # type: ignore[no-untyped-def]
        yield lambda *report: seen.append((stage, *report))

    for _ in range(2):
        run_stages(calls.stages, actor_root, {"clip": clip}, Settings(), progress_factory=factory)
    assert seen == [("fit", 1, 1), ("render", 1, None, "a note")]


KILLED = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from metatalk.stages.stage import Stage, run_stages

@dataclass(frozen=True)
class Settings:
    seed: int = 0

def compute(inputs, config, out, progress, *, seed):
    checkpoint = out / "checkpoint"
    steps = int(checkpoint.read_text()) if checkpoint.exists() else 0
    print("begins at", steps, flush=True)
    for step in range(steps, 4):
        checkpoint.write_text(str(step + 1))
        if sys.argv[4] == str(step + 1):
            os.kill(os.getpid(), signal.SIGKILL)
    checkpoint.unlink()
    (out / "weights").write_text("trained")
    return {}

root, clip = Path(sys.argv[1]), Path(sys.argv[2])
stage = Stage("train", ("clip",), 1, compute, also=("seed",), resumable=sys.argv[3] == "yes")
run_stages([stage], root, {"clip": clip}, Settings(int(sys.argv[5])))
"""


def killed_run(root: Path, clip: Path, resumable: str, kill_at: int, seed: int) -> tuple[str, int]:
    words = [str(root), str(clip), resumable, str(kill_at), str(seed)]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False
    )
    return ended.stdout.strip(), ended.returncode


@pytest.mark.parametrize(("resumable", "second"), [("yes", "begins at 2"), ("no", "begins at 0")])
def test_killed_stage_goes_on_or_begins_again(
    actor_root: Path, clip: Path, resumable: str, second: str
) -> None:
    assert killed_run(actor_root, clip, resumable, 2, 0) == ("begins at 0", -signal.SIGKILL)
    assert not (actor_root / "train").exists()
    assert killed_run(actor_root, clip, resumable, 9, 0) == (second, 0)
    assert sorted(p.name for p in (actor_root / "train").iterdir()) == ["manifest.json", "weights"]
    assert killed_run(actor_root, clip, resumable, 9, 0) == ("", 0)


def test_training_never_resumes_under_another_cause(actor_root: Path, clip: Path) -> None:
    killed_run(actor_root, clip, "yes", 2, seed=0)
    assert killed_run(actor_root, clip, "yes", 9, seed=1) == ("begins at 0", 0)


def test_where_pictures_are_drawn_is_no_cause() -> None:
    """Both rasterisers draw the same, so another machine's may go on with the work."""
    digests = dict.fromkeys(RENDER.reads, "0")
    cause = lambda *words: _cause(RENDER, load_config(words=words), digests)  # noqa: E731
    assert cause("render.backend=numba") == cause("render.backend=pytorch3d") == cause()
    assert "backend" not in cause().settings["render"]
    assert cause("render.grow_px=9") != cause()
