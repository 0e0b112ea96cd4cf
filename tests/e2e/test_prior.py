"""A prior learned from two clips, and an actor begun with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_clips import grey_picture, write_clip

from metatalk.a2e.encoders import has_builtin_encoder
from metatalk.cli import main
from metatalk.media.audio import Sound
from metatalk.media.picture import Picture
from metatalk.stages.prior_file import load_prior

pytest.importorskip("lightning_fabric", reason="Lightning Fabric is not installed")
pytestmark = pytest.mark.skipif(
    not has_builtin_encoder(), reason="a prior needs the speech encoder of moonshine-voice"
)

Run = Callable[..., tuple[int, str, str]]
BRIEF = (
    "prior.steps=4", "prior.batch=2", "prior.tcn.channels=8", "prior.components=3",
    "prior.kernel.axes=8", "fit.keyframes=10",
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture], speech: Sound
) -> list[Path]:
    """Two halves of the presenter, one clip without sound and one without a face."""
    folder, half = tmp_path_factory.mktemp("clips"), len(pictures) // 2
    middle = half * 48000 // 25
    first, second = Sound(speech.samples[:middle], 48000), Sound(speech.samples[middle:], 48000)
    return [
        write_clip(folder / "first.mp4", pictures[:half], first),
        write_clip(folder / "second.mp4", pictures[half:], second),
        write_clip(folder / "silent film.mp4", pictures[:5], None),
        write_clip(folder / "nobody.mp4", [grey_picture(n) for n in range(10)], first),
    ]


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory, clips: list[Path]) -> Path:
    path = tmp_path_factory.mktemp("prior") / "two.safetensors"
    words = [*map(str, clips), *BRIEF, "--preset", "tiny", "-o", str(path), "--terms", "granted"]
    assert main(["prior", "train", *words]) == 0
    return path


def test_what_cannot_be_learned_from_is_left_out(prior: Path) -> None:
    record = load_prior(prior).record
    assert [name for name, _, _ in record.clips] == ["first.mp4", "second.mp4"]
    assert {terms for _, terms, _ in record.clips} == {"granted"}
    assert [name for name, _ in record.hears] == ["speech"]


def test_again_is_quick_and_the_same(prior: Path, clips: list[Path], run: Run) -> None:
    digest = load_prior(prior).digest
    code, _, heard = run(
        *("prior", "train", *clips, *BRIEF, "--preset", "tiny", "-o", prior, "--terms", "granted")
    )
    assert code == 0
    assert "fit: done" not in heard
    assert load_prior(prior).digest == digest


def test_two_processes_learn_one(prior: Path, clips: list[Path], tmp_path: Path, run: Run) -> None:
    path = tmp_path / "shared.safetensors"
    shutil.copytree(f"{prior}.work", f"{path}.work")  # the clips need not be fitted again
    words = (*BRIEF, "prior.devices=2", "device=cpu", "--preset", "tiny", "-o", path, "--json")
    code, out, _ = run("prior", "train", *clips[:2], *words)
    assert code == 0
    assert json.loads(out)["clips"] == 2
    assert load_prior(path).record.config.devices == 2


def test_an_actor_is_begun_with_it(prior: Path, clip: Path, tmp_path: Path, run: Run) -> None:
    actor = tmp_path / "actor"
    words = ("stage", "train_a2e", clip, "--actor", actor, "--preset", "tiny", "--json")
    code, out, _ = run(*words, f"a2e.prior={json.dumps(str(prior))}")
    assert code == 0
    assert json.loads(out)["train_a2e"]["hears"] == "mel, speech, prior"
    ledger = json.loads((actor / "ledger.json").read_text(encoding="utf-8"))
    assert {"prior", "prior's footage"} <= {entry["kind"] for entry in ledger}
    assert load_prior(actor / "train_a2e" / "prior.safetensors").digest == load_prior(prior).digest
    code, _, err = run(*words[:-1], "--preset", "tiny")
    assert code == 2
    assert "train_a2e" in err  # made from something else


def test_one_clip_is_no_prior(clips: list[Path], tmp_path: Path, run: Run) -> None:
    code, _, err = run("prior", "train", clips[2], "--preset", "tiny", "-o", tmp_path / "one.st")
    assert code == 2
    assert "a prior needs several actors" in err


def test_a_prior_that_is_not_there(clip: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run("train", clip, "--actor", tmp_path / "x", "--prior", tmp_path / "no.st")
    assert code == 2
    assert "there is no prior" in err
