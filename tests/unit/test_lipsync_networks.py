"""Wav2Lip's networks against a second, plain reading of the list of their layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.lipsync.syncnet import ColourExpert, SyncNet
from metatalk.lipsync.wav2lip import QualityDiscriminator, Redrawer, Wav2Lip, stack_faces

Layer = dict[str, Any]
SIZES = {
    Wav2Lip: 36_298_035,
    QualityDiscriminator: 14_113_793,
    ColourExpert: 16_435_072,
    SyncNet: 13_631_616,
}
TITLES = {
    Wav2Lip: "wav2lip",
    QualityDiscriminator: "wav2lip_quality_discriminator",
    ColourExpert: "syncnet_color_expert",
    SyncNet: "syncnet_v2",
}


def filled(kind: type[nn.Module]) -> nn.Module:
    """A network whose every number is random, the statistics of its norms included."""
    network = kind().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.uniform_(-0.1, 0.1, generator=generator)
    return network


@pytest.fixture(scope="module")
def generator() -> nn.Module:
    return filled(Wav2Lip)


@pytest.fixture(scope="module")
def layers(shared_clips: Path) -> dict[str, list[Layer]]:
    path = shared_clips.parent / "networks.json"
    if not path.is_file():
        pytest.skip("the list of the original networks' layers is not on this machine")
    return json.loads(path.read_text())


@pytest.mark.parametrize("kind", SIZES)
def test_networks_have_the_originals_number_of_weights(kind: type[nn.Module]) -> None:
    with torch.device("meta"):
        network = kind()
    assert sum(value.numel() for value in network.parameters()) == SIZES[kind]


@pytest.mark.parametrize("kind", TITLES)
def test_state_dict_keys_are_the_official_ones(kind: type[nn.Module], layers) -> None:
    listed = layers[TITLES[kind]]
    stored = [layer for layer in listed if not layer["kind"].startswith("MaxPool")]
    expected = {f"{layer['key']}.weight" for layer in stored}
    with torch.device("meta"):
        state = kind().state_dict()
    assert {key for key in state if key.endswith(".weight")} == expected
    for layer in stored:
        assert tuple(state[f"{layer['key']}.weight"].shape) == weight_shape(layer)


def test_generator_equals_the_plain_reading(generator, layers) -> None:
    mel, faces = random(2, 1, 80, 16), random(2, 6, 96, 96)
    net = PlainReading(layers["wav2lip"], generator.state_dict())
    skips = []
    for number in range(7):
        faces = net.run(f"face_encoder_blocks.{number}.", faces)
        skips.append(faces)
    drawn = net.run("audio_encoder.", mel)
    for number in range(7):
        drawn = net.run(f"face_decoder_blocks.{number}.", drawn)
        drawn = torch.cat((drawn, skips.pop()), 1)
    expected = torch.sigmoid(net.run("output_block.", drawn))
    assert_close(generator(mel, random(2, 6, 96, 96)), expected)
    assert expected.std() > 0.01


def test_discriminator_equals_the_plain_reading(layers) -> None:
    network, faces = filled(QualityDiscriminator), random(2, 3, 96, 96)
    net = PlainReading(layers["wav2lip_quality_discriminator"], network.state_dict())
    features = net.run("face_encoder_blocks.", faces[:, :, 48:])
    expected = torch.sigmoid(net.run("binary_pred.", features)).reshape(2, 1)
    assert_close(network(faces), expected)


def test_expert_equals_the_plain_reading(layers) -> None:
    network, mel, faces = filled(ColourExpert), random(2, 1, 80, 16), random(2, 15, 48, 96)
    net = PlainReading(layers["syncnet_color_expert"], network.state_dict())
    sound, lips = network(mel, faces)
    assert_close(network.embed_sound(mel), sound)
    assert_close(network.embed_lips(faces), lips)
    for got, prefix, given in ((sound, "audio_encoder.", mel), (lips, "face_encoder.", faces)):
        raw = net.run(prefix, given).reshape(2, 512)
        assert_close(got, raw / raw.norm(dim=1, keepdim=True))


def test_syncnet_equals_the_plain_reading(layers) -> None:
    network = filled(SyncNet)
    net = PlainReading(layers["syncnet_v2"], network.state_dict())
    mfcc, windows = random(2, 1, 13, 20), random(1, 3, 5, 224, 224)
    sound = net.run("netfcaud.", net.run("netcnnaud.", mfcc).reshape(2, 512))
    lips = net.run("netfclip.", net.run("netcnnlip.", windows).reshape(1, 512))
    assert_close(network.embed_sound(mfcc), sound)
    assert_close(network.embed_lips(windows), lips)


def test_generator_refuses_other_shapes(generator) -> None:
    with pytest.raises(ShapeError, match="faces"):
        generator(torch.zeros(2, 1, 80, 16), torch.zeros(1, 6, 96, 96))
    with pytest.raises(ShapeError, match="mel"):
        generator(torch.zeros(1, 1, 80, 27), torch.zeros(1, 6, 96, 96))


def test_faces_are_stacked_as_bgr_with_the_lower_half_hidden() -> None:
    target = np.zeros((1, 96, 96, 3), np.uint8)
    target[..., 0] = 255  # red
    reference = np.zeros_like(target)
    reference[..., 2] = 51  # dark blue
    stacked = stack_faces(target, reference)
    upper, lower = stacked[0, :, 0, 0], stacked[0, :, 95, 0]
    assert upper.tolist() == pytest.approx([0, 0, 1, 0.2, 0, 0])
    assert lower.tolist() == pytest.approx([0, 0, 0, 0.2, 0, 0])


def test_teacher_does_not_look_at_the_mouth_it_redraws(generator) -> None:
    rng = np.random.default_rng(0)
    targets, references = rng.integers(0, 255, (2, 2, 96, 96, 3), np.uint8)
    chunks = rng.normal(size=(2, 80, 16)).astype(np.float32)
    teacher = Redrawer(generator)
    drawn = teacher.redraw(targets, references, chunks)
    other = targets.copy()
    other[:, 48:] = 0
    np.testing.assert_array_equal(teacher.redraw(other, references, chunks), drawn)
    single = teacher.redraw(targets[1:], references[1:], chunks[1:])
    assert np.abs(single.astype(int) - drawn[1:]).max() <= 1  # batch against single
    assert drawn.shape == (2, 96, 96, 3)
    assert drawn.dtype == np.uint8


class PlainReading:
    """Run listed layers one after the other, by nothing but the list."""

    def __init__(self, layers: list[Layer], state: dict[str, Tensor]) -> None:
        self.layers, self.state = layers, state

    def run(self, prefix: str, values: Tensor) -> Tensor:
        chosen = [layer for layer in self.layers if layer["key"].startswith(prefix)]
        for layer, after in zip(chosen, [*chosen[1:], {"kind": "end"}], strict=True):
            if layer["kind"].startswith("BatchNorm"):
                continue  # run with the layer it follows
            out = self.weigh(layer, values)
            if after["kind"].startswith("BatchNorm"):
                out = self.normalise(after["key"], out)
            values = self.activate(layer, after, out + values if layer.get("residual") else out)
        return values

    def weigh(self, layer: Layer, values: Tensor) -> Tensor:
        kind, key = layer["kind"], layer["key"]
        if kind.startswith("MaxPool"):
            pool = functional.max_pool3d if kind == "MaxPool3d" else functional.max_pool2d
            return pool(values, layer["kernel_size"], layer["stride"], layer["padding"])
        weight, bias = self.state[f"{key}.weight"], self.state[f"{key}.bias"]
        if kind == "Linear":
            return functional.linear(values, weight, bias)
        if kind == "ConvTranspose2d":
            return functional.conv_transpose2d(
                values, weight, bias, layer["stride"], layer["padding"], layer["output_padding"]
            )
        convolve = functional.conv3d if kind == "Conv3d" else functional.conv2d
        return convolve(values, weight, bias, layer["stride"], layer["padding"])

    def normalise(self, key: str, values: Tensor) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(values, *(self.state[f"{key}.{name}"] for name in names))

    @staticmethod
    def activate(layer: Layer, after: Layer, values: Tensor) -> Tensor:
        if layer.get("activation") == "LeakyReLU":
            return functional.leaky_relu(values, 0.01)
        normed = after["kind"].startswith("BatchNorm")  # SyncNet: a ReLU follows every norm
        return values.relu() if normed or layer.get("activation") == "ReLU" else values


def weight_shape(layer: Layer) -> tuple[int, ...]:
    kind = layer["kind"]
    if kind.startswith("BatchNorm"):
        return (layer["features"],)
    if kind == "Linear":
        return (layer["out_features"], layer["in_features"])
    channels = (layer["out_channels"], layer["in_channels"])
    order = channels[::-1] if kind == "ConvTranspose2d" else channels
    return (*order, *layer["kernel_size"])


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
