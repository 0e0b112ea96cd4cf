"""The actor before the footage's camera: what is opened for which network, and what it shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mouth_folders import fill_actor, leave, mouth_render
from mouth_toys import facing_track, mouth_model
from torch import nn

from metatalk.compose.config import DriveConfig
from metatalk.compose.revoice import Performance, revoice
from metatalk.compose.seam.config import SeamConfig
from metatalk.config import Config
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import build_generator
from metatalk.neural.pix2pix import Pix2PixGenerator, count_halvings
from metatalk.stages.artefacts import save_weights
from metatalk.stages.footage import read_footage
from metatalk.stages.studio import OpenStudio, choose_sources, open_studio
from metatalk.workspace.actor import ActorFolder

PX, FRAMES = 32, 40
KEPT = np.arange(1, FRAMES, 2)  # the library is of every other frame
OURS = NeuralConfig(widths=(8, 8, 8, 8))
PLAIN, PIX2PIX = replace(OURS, carried=False), replace(OURS, network="pix2pix")
NETWORKS = {"carried": OURS, "plain": PLAIN, "pix2pix": PIX2PIX}


class Frame:
    """A frame of the footage that keeps the patch laid over it."""

    width, height, bits = 320, 240, 8

    def __init__(self, number: int) -> None:
        self.pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8)

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self.pixels[top:bottom, left:right]

    def with_patch(
        self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return patch, alpha


def behind(frames: np.ndarray) -> list[Frame]:
    return [Frame(int(number)) for number in frames]


@pytest.fixture
def actor(tmp_path: Path) -> tuple[ActorFolder, TrackCoefficients]:
    """An actor whose renderer is still to be put there, and the faces of the footage."""
    _, track = fill_actor(tmp_path / "actor", PX, FRAMES, KEPT)
    return ActorFolder(tmp_path / "actor"), track


def put_before_camera(folder: ActorFolder, neural: NeuralConfig) -> OpenStudio:
    torch.manual_seed(0)
    pix2pix = neural.network == "pix2pix"
    made: nn.Module = (
        Pix2PixGenerator(count_halvings(PX), 4) if pix2pix else build_generator(neural)
    )
    weights = made.state_dict()
    leave(
        folder,
        "train_renderer",
        lambda out: save_weights(out / "generator.safetensors", weights),
    )
    drive = DriveConfig(seam=SeamConfig(grain=0.0))  # there is no clip to measure it in
    config = replace(Config(), neural=neural, render=mouth_render(PX), drive=drive, device="cpu")
    footage = read_footage(folder.root, folder.root / "clip.mp4")
    return open_studio(folder, footage, config, mouth_model())


@pytest.mark.parametrize("name", NETWORKS)
def test_only_networks_that_take_texture_have_a_library(
    actor: tuple[ActorFolder, TrackCoefficients], name: str
) -> None:
    opened = put_before_camera(actor[0], NETWORKS[name])
    studio, library = opened.studio, opened.library
    assert (library is not None) == (name == "carried")
    assert studio.library is library
    assert (studio.scene.size, len(opened.transforms)) == (PX, FRAMES)


def test_the_crops_of_the_training_clip_are_those_trained_on(
    actor: tuple[ActorFolder, TrackCoefficients],
) -> None:
    folder, track = actor
    opened = put_before_camera(folder, OURS)
    studio, library = opened.studio, opened.library
    assert library is not None
    np.testing.assert_allclose(opened.transforms[KEPT], library.transforms, atol=1e-9)
    stored = np.load(folder.path("render") / "synthetic.npy")
    drawn = studio.scene.synthetic(track.take(KEPT), opened.transforms[KEPT])
    np.testing.assert_array_equal(drawn, stored)


def test_sources_are_rows_of_the_library(actor: tuple[ActorFolder, TrackCoefficients]) -> None:
    folder, track = actor
    library = put_before_camera(folder, OURS).library
    assert library is not None
    sources = choose_sources(library, track)
    assert sources.shape == (FRAMES,)
    assert sources.min() >= 0
    assert sources.max() < len(KEPT)
    # a kept frame finds itself: rows are counted in the library, not in the clip
    np.testing.assert_array_equal(sources[KEPT], np.arange(len(KEPT)))
    wild = facing_track(torch.linspace(-1.0, 3.0, 90), torch.linspace(-60.0, 60.0, 90))
    far = choose_sources(library, wild)
    assert far.min() >= 0
    assert far.max() < len(KEPT)
    assert len(choose_sources(library, wild.take(np.arange(0)))) == 0


def test_the_source_has_the_mouth_that_is_asked_for(
    actor: tuple[ActorFolder, TrackCoefficients],
) -> None:
    folder, track = actor
    library = put_before_camera(folder, OURS).library
    assert library is not None
    opened = track.expression[KEPT, 0]
    for wanted in (opened.min(), opened.max()):
        still = facing_track(wanted.expand(12), torch.zeros(12))
        chosen = choose_sources(library, still)
        assert len(np.unique(chosen)) <= 3  # it stays where it is
        near = (library.track.expression[torch.from_numpy(chosen), 0] - wanted).abs().max()
        assert near < 0.3 * float(opened.max() - opened.min())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_studio_revoices(actor: tuple[ActorFolder, TrackCoefficients], name: str) -> None:
    folder, track = actor
    opened = put_before_camera(folder, NETWORKS[name])
    studio, library = opened.studio, opened.library
    # what the network is shown alone is judged, not what is laid over its picture
    studio = replace(studio, config=replace(studio.config, detail=0.0))
    frames = np.array([3, 4, 5])
    shown = track.take(np.array([20, 21, 22]))
    sources = choose_sources(library, shown) if library else None
    performance = Performance(
        frames,
        track.take(frames),
        opened.transforms[frames],
        shown.expression,
        np.ones(3, np.float32),
        sources,
    )
    made = [each.picture for each in revoice(behind(frames), performance, studio)]
    assert len(made) == 3
    for patch, alpha in made:
        assert np.isfinite(patch).all()
        assert alpha.max() > 0.8
    blind = replace(studio, config=replace(studio.config, filmed=False))
    other = [each.picture for each in revoice(behind(frames), performance, blind)]
    changed = max(np.abs(a[0] - b[0])[a[1] > 0.9].max() for a, b in zip(made, other, strict=True))
    # pix2pix never sees the filmed mouth, nor does a network without texture
    assert (changed > 0.01) == (name == "carried")
