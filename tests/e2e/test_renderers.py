"""Renderers of every kind, trained and driven; what their training reads and leaves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from e2e_clips import CLIP_S, RATE, prepare

from metatalk.media.video import index_frames, read_pictures
from metatalk.stages.artefacts import load_weights
from metatalk.stages.performer import Performer
from metatalk.workspace.actor import ActorFolder

Run = Callable[..., tuple[int, str, str]]
COMMAND = [sys.executable, "-c", "import sys; from metatalk.cli import main; sys.exit(main())"]
DIES_CARRYING = """
import os, signal, sys
from metatalk.cli import main
from metatalk.stages import samples

fetch, fetched = samples.fetch_texture, []


def fetch_or_die(*given):
    if len(fetched) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    fetched.append(1)
    return fetch(*given)


samples.fetch_texture = fetch_or_die
sys.exit(main())
"""
OTHERS = {"pix2pix": "neural.network=pix2pix", "plain": "neural.carried=false"}


@pytest.fixture
def copy(actor: Path, tmp_path: Path) -> Path:
    """An actor of one's own to change."""
    return Path(shutil.copytree(actor, tmp_path / "actor"))


@pytest.fixture(scope="module", params=list(OTHERS))
def other(
    request: pytest.FixtureRequest,
    actor: Path,
    clip: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The actor with another kind of renderer."""
    root = Path(shutil.copytree(actor, tmp_path_factory.mktemp(request.param) / "actor"))
    words = ["train", clip, "--actor", root, "--preset", "tiny", "--rerun", "train_renderer"]
    line = [*COMMAND, *map(str, words), OTHERS[request.param]]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root


def lumas(path: Path) -> np.ndarray:
    return np.stack([picture.planes[0] for picture in read_pictures(path)]).astype(np.int16)


def drive_itself(run: Run, root: Path, clip: Path, out: Path, *words: str) -> np.ndarray:
    """Let the training clip drive the actor, without loss; (T, H, W) the result's luma."""
    code, _, err = run("drive", root, "--expression-from", clip, "-o", out, "drive.crf=0", *words)
    assert code == 0, err
    return lumas(out)


def test_every_kind_of_renderer_is_driven(
    other: Path, actor: Path, clip: Path, recording: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "says.mp4"
    code, _, err = run("drive", other, recording, "-o", out)
    assert code == 0, err
    assert len(index_frames(out)) == 2 * RATE
    made = drive_itself(run, other, clip, tmp_path / "other.mp4")
    ours = drive_itself(run, actor, clip, tmp_path / "ours.mp4")
    filmed = lumas(clip)
    assert made.shape == filmed.shape
    np.testing.assert_array_equal(made[:, :250], filmed[:, :250])  # brow and hair
    assert (np.abs(made - filmed).reshape(len(made), -1).max(1) > 20).all()
    assert (np.abs(made - ours).reshape(len(made), -1).max(1) > 20).all()


def test_renderers_that_take_no_texture_open_no_library(
    other: Path, actor: Path, clip: Path, tmp_path: Path
) -> None:
    for root, has_library in ((other, False), (actor, True)):
        drive = prepare(root, tmp_path, performer=Performer(clip))
        assert (drive.studio.library is not None) == has_library
        assert (drive.performance.sources is not None) == has_library


def test_without_the_filmed_face_the_picture_is_another(
    actor: Path, clip: Path, tmp_path: Path, run: Run
) -> None:
    seen = drive_itself(run, actor, clip, tmp_path / "seen.mp4")
    hidden = drive_itself(run, actor, clip, tmp_path / "hidden.mp4", "drive.filmed=false")
    np.testing.assert_array_equal(seen[:, :250], hidden[:, :250])
    assert (np.abs(seen - hidden).reshape(len(seen), -1).max(1) > 12).all()


def test_an_actor_without_a_voice_acts_and_does_not_speak(
    copy: Path, clip: Path, recording: Path, tmp_path: Path, run: Run
) -> None:
    shutil.rmtree(copy / "train_a2e")
    out = tmp_path / "says.mp4"
    code, _, err = run("drive", copy, recording, "-o", out)
    told = " ".join(err.split())
    assert code == 2
    assert "train_a2e" in told
    assert f"remedy: make the actor first: metatalk train CLIP --actor {copy}" in told
    assert not out.exists()
    code, _, err = run("drive", copy, "--expression-from", clip, "-o", out)
    assert code == 0, err
    assert len(index_frames(out)) == CLIP_S * RATE
    assert not (copy / "train_a2e").exists()


@pytest.mark.parametrize(
    ("stage", "remedy"), [("train_renderer", "train_renderer"), ("render", "render,train_renderer")]
)
def test_an_actor_of_an_older_version_is_refused_with_a_remedy(
    copy: Path, recording: Path, tmp_path: Path, run: Run, stage: str, remedy: str
) -> None:
    """What it was learned from was not noted down, and its weights are another network's."""
    manifest = copy / stage / "manifest.json"
    content = json.loads(manifest.read_text())
    content["cause"] |= {"revision": 1, "inputs": {}}
    manifest.write_text(json.dumps(content))
    out, model = tmp_path / "x.mp4", tmp_path / "x.onnx"
    for words in (("drive", copy, recording, "-o", out), ("export", "renderer", copy, "-o", model)):
        code, _, err = run(*words)
        told = " ".join(err.split())
        assert code == 2, words
        assert f"{stage} of {copy} was made by another version of metatalk" in told, words
        assert f"--rerun {remedy}" in told, words
    assert not out.exists()
    assert not model.exists()


def test_the_training_reads_all_that_it_depends_on_and_leaves_no_samples(actor: Path) -> None:
    manifest = ActorFolder(actor).manifest("train_renderer")
    assert manifest is not None
    assert set(manifest.cause.inputs) == {"ingest", "landmarks", "fit", "render", "face_model"}
    assert {"neural", "fit", "landmarks", "render"} <= set(manifest.cause.settings)
    left = {path.name for path in (actor / "train_renderer").iterdir()}
    assert left == {"contact_sheet.png", "generator.safetensors", "logs", "manifest.json"}


def test_killed_while_carrying_texture_it_learns_the_same(
    actor: Path, copy: Path, clip: Path
) -> None:
    words = ["train", str(clip), "--actor", str(copy), "--preset", "tiny"]
    words += ["--rerun", "train_renderer"]
    partial = copy / "train_renderer.partial"
    killed = subprocess.run([sys.executable, "-c", DIES_CARRYING, *words], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (partial / "samples").is_dir()
    assert not (partial / "samples" / "complete").exists()
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not partial.exists()
    assert not (copy / "train_renderer" / "samples").exists()
    states = [load_weights(root / "train_renderer" / "generator.safetensors")
              for root in (actor, copy)]  # fmt: skip
    assert states[0].keys() == states[1].keys()
    for name, weights in states[0].items():
        np.testing.assert_allclose(states[1][name], weights, atol=1e-5, err_msg=name)
