"""The render command on a toy head: what lands where, what is refused, what is mixed with what."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model
from fit_folders import FRAMES, PERSON, TRACK, keep_fit
from media_clips import make_clip

from metatalk.cli import main
from metatalk.cli import render as command
from metatalk.config import Config, load_config
from metatalk.errors import ConfigError, MediaError, MetatalkError, StaleArtefactError
from metatalk.media.probe import probe_video
from metatalk.media.video import index_frames, read_pictures
from metatalk.morphable.coefficients import (
    save_coefficients,
)
from metatalk.render.layers import LAYERS
from metatalk.stages import pictures
from metatalk.stages.artefacts import save_index
from metatalk.stages.picture_order import Order, parse_frames
from metatalk.stages.pictures import render_pictures
from metatalk.stages.sources import mix_sources, open_source
from metatalk.workspace.digest import digest_path
from metatalk.workspace.footage import remember_footage
from metatalk.workspace.ledger import Entry, record_footage
from metatalk.workspace.manifest import Cause, finish_manifest, write_manifest

MODEL = toy_model()
HEIGHT, WIDTH = CAMERA.height, CAMERA.width
CONFIG = load_config(words=["render.backend=numba"])


@pytest.fixture(autouse=True)
def _toy_face_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "open_face_model", lambda name, landmarks: MODEL)


@pytest.fixture
def actor(tmp_path: Path) -> Path:
    """The same with its footage: grey gradients at 30 frames a second."""
    root = keep_fit(tmp_path / "jane")
    clip = make_clip(
        tmp_path / "clip.mp4", FRAMES, size=(WIDTH, HEIGHT), rate=Fraction(30000, 1001)
    )
    (root / "ingest").mkdir()
    save_index(root / "ingest" / "frames.npz", index_frames(clip))
    remember_footage(root, clip)
    return root


def draw(source: Path, order: Order, config: Config = CONFIG, **parts: Path) -> dict:
    opened = {part: open_source(path) for part, path in parts.items()}
    return render_pictures(mix_sources(open_source(source), opened), order, config)


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return picture[..., ::-1] if picture.ndim == 3 else picture


def test_every_layer_as_stills(actor: Path, tmp_path: Path):
    out = tmp_path / "pictures"
    told = draw(actor, Order(out, LAYERS, frames="1-2"))
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(f"{name}.{row:06d}.png" for name in LAYERS for row in (1, 2))
    assert told["frames"] == 2
    shown = {name: read(out / f"{name}.000001.png") for name in LAYERS}
    assert all(picture.shape[:2] == (HEIGHT, WIDTH) for picture in shown.values())
    assert all(picture.any() for picture in shown.values())
    assert shown["uv"].dtype == shown["depth"].dtype == np.uint16
    head = shown["depth"] > 0
    assert (head == (shown["uv"][..., 2] == 65535)).all()
    assert (shown["shaded"].any(-1) <= head).all()
    distance = shown["depth"][head] / 10
    assert 600 < distance.min() < distance.max() < 900


def test_exr_holds_millimetres(actor: Path, tmp_path: Path):
    openexr = pytest.importorskip("OpenEXR")
    draw(actor, Order(tmp_path / "out", ("depth",), stills="exr", frames="3"))
    draw(actor, Order(tmp_path / "out", ("depth",), frames="3"))
    with openexr.File(str(tmp_path / "out" / "depth.000003.exr"), separate_channels=True) as file:
        depth = file.channels()["Z"].pixels
    np.testing.assert_allclose(depth, read(tmp_path / "out" / "depth.000003.png") / 10, atol=0.051)


def test_video_has_the_clips_size_and_times(actor: Path, tmp_path: Path):
    draw(actor, Order(tmp_path / "face.mp4", ("shaded",)))
    info, index = probe_video(tmp_path / "face.mp4"), index_frames(tmp_path / "face.mp4")
    assert (info.width, info.height, info.rate) == (WIDTH, HEIGHT, Fraction(30000, 1001))
    assert len(index) == FRAMES
    first = next(iter(read_pictures(tmp_path / "face.mp4"))).rgb()
    assert first[:8, :8].max() < 4  # black beside the head
    assert first.max() > 60


def test_what_it_is_made_of_stands_beside_it(actor: Path, tmp_path: Path):
    record_footage(actor, Entry("footage", "clip.mp4", "Jane: a test, granted by Jane", "d"))
    save_coefficients(tmp_path / "joe.npz", PERSON, TRACK, CAMERA)
    draw(actor, Order(tmp_path / "face.mp4", frames="0"), light=tmp_path / "joe.npz")
    told = json.loads((tmp_path / "face.mp4.ledger.json").read_text())
    assert told["synthetic"] is True
    assert [(e["kind"], e["name"]) for e in told["entries"]] == [
        ("footage", "clip.mp4"),
        ("coefficients", "joe.npz"),
    ]


def test_several_layers_are_several_videos(actor: Path, tmp_path: Path):
    draw(actor, Order(tmp_path / "face.v1.mp4", ("normals", "mask"), frames="0-1"))
    made = sorted(path.name for path in tmp_path.glob("*.mp4"))
    assert made == ["clip.mp4", "face.v1.mask.mp4", "face.v1.normals.mp4"]


def test_over_the_footage_everything_else_stays(actor: Path, tmp_path: Path):
    order = Order(tmp_path / "out", ("shaded", "mask"), over=True, frames="2-4")
    draw(actor, order)
    draw(actor, Order(tmp_path / "alone", ("shaded", "mask", "depth"), frames="2-4"))
    for picture in read_pictures(tmp_path / "clip.mp4"):
        if picture.index not in (2, 3, 4):
            continue
        number = f"{picture.index:06d}.png"
        behind, head = picture.rgb(), read(tmp_path / "alone" / f"depth.{number}") > 0
        shown = read(tmp_path / "out" / f"shaded.{number}")
        np.testing.assert_array_equal(shown[~head], behind[~head])
        alone = read(tmp_path / "alone" / f"shaded.{number}")
        np.testing.assert_allclose(shown[head].astype(int), alone[head], atol=1)
        masked = read(tmp_path / "alone" / f"mask.{number}") > 0
        tinted = read(tmp_path / "out" / f"mask.{number}")[masked]
        np.testing.assert_allclose(tinted, (behind[masked].astype(float) + 255) / 2, atol=1)


def test_video_over_the_footage(actor: Path, tmp_path: Path):
    draw(actor, Order(tmp_path / "over.mp4", ("shaded",), over=True, frames="1-3"))
    made = list(read_pictures(tmp_path / "over.mp4"))
    clip = list(read_pictures(tmp_path / "clip.mp4"))[1:4]
    assert len(made) == 3
    for ours, behind in zip(made, clip, strict=True):
        corner = (0, 0, 60, 40)  # where no head reaches
        assert np.abs(ours.rgb(corner).astype(int) - behind.rgb(corner)).mean() < 4


def test_coefficients_alone_are_enough(tmp_path: Path):
    save_coefficients(tmp_path / "jane.npz", PERSON, TRACK, CAMERA)
    draw(tmp_path / "jane.npz", Order(tmp_path / "face.mp4", rate=Fraction(24)))
    assert probe_video(tmp_path / "face.mp4").rate == 24
    draw(tmp_path / "jane.npz", Order(tmp_path / "out", frames="5"))
    assert read(tmp_path / "out" / "shaded.000005.png").any()
    with pytest.raises(MediaError, match="does not say where its footage is") as caught:
        draw(tmp_path / "jane.npz", Order(tmp_path / "over.mp4", over=True))
    assert "--footage" in caught.value.remedy


def test_frames_without_a_face_stay_empty(tmp_path: Path):
    lost = replace(TRACK, confidence=torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0, 1.0]))
    save_coefficients(tmp_path / "jane.npz", PERSON, lost, CAMERA)
    draw(tmp_path / "jane.npz", Order(tmp_path / "out", LAYERS, frames="0-1"))
    for name in LAYERS:
        assert read(tmp_path / "out" / f"{name}.000000.png").any()
        assert not read(tmp_path / "out" / f"{name}.000001.png").any()
    draw(tmp_path / "jane.npz", Order(tmp_path / "face.mp4", frames="0-1"))
    gone = replace(TRACK, confidence=torch.zeros(FRAMES))
    save_coefficients(tmp_path / "nobody.npz", PERSON, gone, CAMERA)
    with pytest.raises(MediaError, match="no frame has a face"):
        draw(tmp_path / "nobody.npz", Order(tmp_path / "out"))


def test_the_face_model_on_record_is_opened(actor: Path, monkeypatch: pytest.MonkeyPatch):
    opened = []

    def note(name: str, landmarks: object) -> object:
        opened.append(name)
        return MODEL

    monkeypatch.setattr(pictures, "open_face_model", note)
    basel = keep_fit(actor.parent / "basel", face_model="bfm2009")
    draw(basel, Order(actor.parent / "out", frames="0"))
    save_coefficients(actor.parent / "plain.npz", PERSON, TRACK, CAMERA)
    draw(actor.parent / "plain.npz", Order(actor.parent / "out", frames="0"), light=basel)
    draw(actor.parent / "plain.npz", Order(actor.parent / "out", frames="0"))
    assert opened == ["bfm2009", "bfm2009", "anny"]


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [(None, 0, 10), ("2-4", 2, 5), ("7-", 7, 10), ("-1", 0, 2), ("5", 5, 6)],
)
def test_frames_as_people_write_them(text, first, end):
    assert parse_frames(text, 10) == range(first, end)


@pytest.mark.parametrize("text", ["x", "4-2", "10", "0-10", "-", "", "1-2-3"])
def test_frames_that_are_not_there(text):
    with pytest.raises(ConfigError, match="--frames"):
        parse_frames(text, 10)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"layers": ("shade",)}, "no layer 'shade'"),
        ({"layers": ()}, "no layer"),
        ({"stills": "tiff"}, "tiff"),
        ({"stills": "exr", "over": True}, "OpenEXR"),
        ({"rate": Fraction(0)}, "--fps"),
        ({"rate": Fraction(24), "over": True}, "--fps does not go over footage"),
        ({"output": Path("face.AVI")}, "no such files are written"),
        ({"output": Path("face.png")}, "no such files are written"),
    ],
)
def test_orders_that_cannot_be_met(order, message):
    with pytest.raises(ConfigError, match=message):
        Order(**{"output": Path("out"), **order})


def test_nothing_it_is_made_from_is_overwritten(actor: Path, tmp_path: Path):
    clip = (tmp_path / "clip.mp4").read_bytes()
    with pytest.raises(MediaError, match="one of the files to work from"):
        draw(actor, Order(tmp_path / "clip.mp4", over=True))
    for folder in (actor, actor / "fit", actor / "ingest", actor / "pseudo"):
        with pytest.raises(MediaError, match="is a part of an actor"):
            draw(actor, Order(folder))
    assert not (actor / "pseudo").exists()
    with pytest.raises(MediaError, match="is a part of an actor"):
        draw(actor, Order(actor / "footage.json"))
    (tmp_path / "notes").write_text("")
    with pytest.raises(MediaError, match="is a file, and stills go into a folder"):
        draw(actor, Order(tmp_path / "notes"))
    for part in ("fit/face.mp4", "targets/face.mp4"):
        with pytest.raises(MediaError, match="is a part of an actor"):
            draw(actor, Order(actor / part))
    for order in (Order(tmp_path / "clip.mp4"), Order(tmp_path / "clip.mp4", frames="0")):
        with pytest.raises(MediaError, match="one of the files to work from"):
            draw(actor, order)  # not over the footage, which it would replace all the same
    assert (tmp_path / "clip.mp4").read_bytes() == clip
    assert not list(actor.rglob("*.png"))
    (actor / "out").mkdir()  # beside the artefacts is as good a place as any
    draw(actor, Order(actor / "out", frames="0"))


def test_stills_here_and_nowhere(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    draw(actor, Order(Path(), frames="0"))
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["shaded.000000.png"]
    assert (tmp_path / "here.ledger.json").is_file()
    for place in ("/", ""):
        assert main(["render", str(actor), "-o", place]) == 2
        assert "remedy" in capsys.readouterr().err


def test_another_version_of_the_face_model_is_refused(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    card = tmp_path / "card.txt"
    card.write_text("toy 1")
    monkeypatch.setattr("metatalk.stages.actor.face_model_card", lambda name, landmarks: card)
    cause = Cause("fit", 1, {"fit": {"face_model": "anny"}}, {"face_model": digest_path(card)})
    write_manifest(actor / "fit", finish_manifest(cause, "", {}, 0.0))
    draw(actor, Order(tmp_path / "out", frames="0"))
    card.write_text("toy 2")
    with pytest.raises(StaleArtefactError, match="another version of the face model"):
        draw(actor, Order(tmp_path / "out", frames="0"))


def test_frames_backwards_are_turned_round():
    with pytest.raises(ConfigError, match="comes after the last") as caught:
        parse_frames("5-1", 10)
    assert "1-5" in caught.value.remedy


def test_footage_that_has_gone_is_asked_for(actor: Path, tmp_path: Path):
    clip = (tmp_path / "clip.mp4").rename(tmp_path / "moved.mp4")
    with pytest.raises(MediaError, match="no longer at") as caught:
        draw(actor, Order(tmp_path / "over.mp4", over=True))
    assert "--footage" in caught.value.remedy
    draw(actor, Order(tmp_path / "over.mp4", over=True, footage=clip, frames="0"))


def test_footage_of_another_size_is_refused(actor: Path, tmp_path: Path):
    other = make_clip(tmp_path / "small.mp4", FRAMES)
    with pytest.raises(MediaError, match="96x64, but the face was fitted to 320x240"):
        draw(actor, Order(tmp_path / "over.mp4", over=True, footage=other))
    short = make_clip(tmp_path / "short.mp4", 3, size=(WIDTH, HEIGHT))
    save_coefficients(tmp_path / "jane.npz", PERSON, TRACK, CAMERA)
    with pytest.raises(MediaError, match="3 frames, but 6 fitted faces"):
        draw(tmp_path / "jane.npz", Order(tmp_path / "over.mp4", over=True, footage=short))


@pytest.mark.parametrize("output", ["out", "out.mp4"])
def test_an_error_on_the_way_leaves_nothing(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
):
    true = pictures._draw

    def fail(shoot, row):
        if row == 3:
            raise OSError(28, os.strerror(28), "somewhere")
        return true(shoot, row)

    monkeypatch.setattr(pictures, "_draw", fail)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MetatalkError, match="No space left") as caught:
        draw(actor, Order(tmp_path / output, ("shaded", "mask")))
    assert "free some space" in caught.value.remedy
    after = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert after == []


def test_the_command_draws_a_folder(
    actor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    words = ["render", str(actor), "-o", str(out), "--layers", "depth,mask", "--frames", "0-1"]
    assert main([*words, "--json", "render.backend=numba"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["layers"]) == (2, "depth, mask")
    assert len(list(out.iterdir())) == 4
    assert main([*words, "--layers", "all", "--texture", str(actor / "fit")]) == 0
    assert len(list(out.iterdir())) == 12


def test_the_command_runs_the_stages_on_a_clip(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given = []
    monkeypatch.setattr(command, "train_up_to", lambda *words: given.append(words))
    clip = str(tmp_path / "clip.mp4")
    assert main(["render", clip, "--actor", str(actor), "--rerun", "render", "seed=3"]) == 0
    (called,) = given
    assert called[:2] == (tmp_path / "clip.mp4", actor)
    assert (called[2].seed, called[3], called[4]) == (3, ["render"], "render")
    assert not list(tmp_path.glob("*.png"))
    out = tmp_path / "face.mp4"
    assert main(["render", clip, "--actor", str(actor), "-o", str(out), "--frames", "0"]) == 0
    assert len(given) == 2
    assert out.is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clip.mp4"], "there is no --actor"),
        (["jane"], "nowhere to draw to"),
        (["jane", "--actor", "jane", "-o", "out"], "--actor goes with a clip"),
        (["jane", "-o", "out", "--layers", "eyes"], "no layer 'eyes'"),
        (["jane", "-o", "out", "--rerun", "fit", "--face", "1"], "--rerun, --face: for fitting"),
        (["jane", "-o", "out", "seed=3"], "seed=3: for fitting a clip"),
        (["edited.csv", "-o", "out"], "holds curves"),
        (["jane", "-o", "out", "--footage", "gone.mp4"], "no such file"),
        (["jane", "-o", "out.mp4", "render.backend=pytorch3d"], "PyTorch3D cannot be imported"),
    ],
)
def test_commands_that_cannot_be_met(
    actor: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edited.csv").write_text("time_s,jawOpen\n")
    monkeypatch.setattr("metatalk.render.backend.why_missing", lambda: "no module named so")
    assert main(["render", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
