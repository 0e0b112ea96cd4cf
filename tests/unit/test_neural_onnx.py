"""The generator as an ONNX model draws what it draws in PyTorch, for any number of pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import MissingAssetError
from metatalk.neural.generator import Generator
from metatalk.neural.onnx_export import (
    INPUT,
    OPSET,
    PICTURE,
    TOLERANCE,
    channel_names,
    generator_to_onnx,
    largest_difference,
)
from metatalk.neural.onnx_int8 import delicate_convolutions, see_inputs
from metatalk.neural.pictures import CropPictures, PictureTensors
from metatalk.neural.pix2pix import Pix2PixGenerator

PX = 64
NETWORKS = {"ours": lambda: Generator((8, 8, 8, 8)), "pix2pix": lambda: Pix2PixGenerator(6, 4)}


class TwoPictures(nn.Module):
    """A network of other channels that draws a picture and says where it is sure of it."""

    input_names = tuple(f"channel_{place}" for place in range(5))

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(5, 4, 3, padding=1)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        made = torch.sigmoid(self.mix(inputs))
        return {PICTURE: made[:, :3], "trust": made[:, 3:]}


class Pinned(TwoPictures):
    """A network that the exporter cannot follow: it draws noise of its own."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        made = super().forward(inputs)
        return {**made, PICTURE: made[PICTURE] + torch.rand(1)}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]().eval().requires_grad_(False)


@pytest.fixture(scope="module", params=list(NETWORKS))
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, bytes]:
    """A generator and its model."""
    generator = build(request.param)
    return generator, generator_to_onnx(generator, PX, {"ledger": [{"name": "clip.mp4"}]})


def run_model(content: bytes, inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: inputs})


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_model_draws_what_the_generator_draws(
    pair: tuple[nn.Module, bytes], batch: int
) -> None:
    generator, content = pair
    inputs = torch.rand(batch, len(channel_names(generator)), PX, PX)
    made = run_model(content, inputs.numpy())[0]
    signed = isinstance(generator, Pix2PixGenerator)
    expected = (generator(inputs * 2 - 1) + 1) / 2 if signed else generator(inputs)[0]
    assert made.shape == (batch, 3, PX, PX)
    assert np.ptp(made) > 0.01
    np.testing.assert_allclose(made, expected.numpy(), atol=TOLERANCE, rtol=0)
    assert largest_difference(content, generator, PX) < TOLERANCE


def test_a_difference_is_seen() -> None:
    content = generator_to_onnx(build("ours"), PX, {})
    other = build("ours")
    with torch.no_grad():
        other.head.bias.add_(0.01)
    assert largest_difference(content, other, PX) > 10 * TOLERANCE


def test_pix2pix_channels_lie_as_it_stacks_them() -> None:
    """Each named channel is filled alone, and drawn as from pictures with that alone."""
    generator = build("pix2pix")
    names = channel_names(generator)
    (made,) = run_model(
        generator_to_onnx(generator, PX, {}),
        np.stack([_only(names, wanted) for wanted in ("synthetic_green_-3", "mask")]),
    )
    near = torch.zeros(2, 7, 3, PX, PX)
    near[0, 0, 1] = 1
    mask = torch.zeros(2, 1, PX, PX)
    mask[1] = 1
    dark = torch.zeros(2, 3, PX, PX)
    expected = generator.draw(PictureTensors(near[:, 3], dark, mask, near)).picture
    np.testing.assert_allclose(made, expected.numpy(), atol=TOLERANCE, rtol=0)


def test_what_a_network_is_given_is_seen_as_the_model_takes_it() -> None:
    noise = np.random.default_rng(0)
    pictures = CropPictures(
        *noise.integers(0, 256, (2, 2, PX, PX, 3), np.uint8), np.full((2, PX, PX), 255, np.uint8)
    )
    for name in NETWORKS:
        generator = build(name)
        first, _ = see_inputs(generator, pictures)
        names = channel_names(generator)
        own = names.index("synthetic_blue" if name == "ours" else "synthetic_blue_+0")
        np.testing.assert_allclose(first[own], pictures.synthetic[0, ..., 2] / 255, atol=1e-6)
        np.testing.assert_allclose(first[names.index("surroundings_red")], 0, atol=1e-6)
        np.testing.assert_allclose(first[names.index("mask")], 1, atol=1e-6)
        assert not generator._forward_pre_hooks


def test_the_delicate_convolutions_are_found() -> None:
    """Both outputs come of one; the one before it is not among them."""

    class Deep(TwoPictures):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Conv2d(5, 5, 1)

        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            return super().forward(functional.relu(self.before(inputs)) + inputs)

    torch.manual_seed(0)
    graph = onnx.load_from_string(generator_to_onnx(Deep().eval(), PX, {})).graph
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 2
    assert delicate_convolutions(graph) == convolutions[1:]


def _only(names: tuple[str, ...], wanted: str) -> np.ndarray:
    inputs = np.zeros((len(names), PX, PX), np.float32)
    inputs[names.index(wanted)] = 1
    return inputs


def test_the_model_says_what_it_takes_and_gives(pair: tuple[nn.Module, bytes]) -> None:
    generator, content = pair
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    told = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(told["channels"]) == list(channel_names(generator))
    outputs = json.loads(told["outputs"])
    assert outputs.pop(PICTURE) == ["batch", 3, PX, PX]
    assert set(outputs) == ({"coarse", "passed"} if isinstance(generator, Generator) else set())
    assert json.loads(told["ledger"]) == [{"name": "clip.mp4"}]
    assert told["crop_px"] == str(PX)
    assert told["range"].startswith("every channel 0 to 1")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [OPSET]
    (taken,) = model.graph.input
    shape = [dim.dim_param or dim.dim_value for dim in taken.type.tensor_type.shape.dim]
    assert (taken.name, shape) == (INPUT, ["batch", len(channel_names(generator)), PX, PX])


def test_the_model_tells_nothing_of_the_machine(pair: tuple[nn.Module, bytes]) -> None:
    for trace in (b"site-packages", str(Path(__file__).parents[2]).encode(), b"generator.py"):
        assert trace not in pair[1]


def test_a_network_of_other_channels_and_outputs_leaves_too() -> None:
    torch.manual_seed(0)
    generator = TwoPictures().eval()
    content = generator_to_onnx(generator, PX, {})
    picture, trust = run_model(content, np.full((1, 5, PX, PX), 0.5, np.float32))
    assert (picture.shape, trust.shape) == ((1, 3, PX, PX), (1, 1, PX, PX))
    assert largest_difference(content, generator, PX) < TOLERANCE


def test_a_network_that_cannot_be_followed_is_found_out() -> None:
    torch.manual_seed(0)
    generator = Pinned().eval()
    assert largest_difference(generator_to_onnx(generator, PX, {}), generator, PX) > TOLERANCE


def test_export_leaves_the_generator_as_it_is() -> None:
    generator = Generator((8, 8, 8, 8)).train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    generator_to_onnx(generator, PX, {})
    assert all(part.training for part in generator.modules())
    torch.testing.assert_close(generator.state_dict(), before, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, name, missing)
    with pytest.raises(MissingAssetError, match=f"the package {name} is missing") as caught:
        generator_to_onnx(build("ours"), PX, {})
    assert "pip install 'metatalk[onnx]'" in caught.value.remedy
