"""Deep3D's network: the published layers and checkpoints, and a guess in the clip's own camera.

No real checkpoint is used: weights are random, or such that the answer is known beforehand.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import deep3d_formulas as published
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metatalk.errors import ConfigError, FittingError, MissingAssetError
from metatalk.fitting.deep3d_guess import deep3d_guess, five_points, predict_vectors
from metatalk.fitting.deep3d_network import HEADS, Deep3DNetwork, load_deep3d_network
from metatalk.landmarks.points import IBUG68, MEDIAPIPE478
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.deep3d import LENGTH, deep3d_frame, gamma_to_lighting, write_deep3d
from metatalk.morphable.deep3d_crop import (
    CROP_CAMERA,
    CROP_PX,
    PIXELS_PER_DM,
    STANDARD_POINTS_DM,
    frame_to_crop,
    standard_crops,
)
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points

HD = Camera(focal_px=2100.0, width=1920, height=1080)
FIVE_OF_IBUG = ((36, 39), (42, 45), (30,), (48,), (54,))


class Fixed(nn.Module):
    """A network that answers with given rows, whatever it sees, and remembers what it saw."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows, self.seen = rows, torch.zeros(0, 3, CROP_PX, CROP_PX)

    def forward(self, crops: Tensor) -> Tensor:
        first = len(self.seen)
        self.seen = torch.cat((self.seen, crops))
        return self.rows[first : first + len(crops)]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return published.face_model(published.model_file())


@pytest.fixture(scope="module")
def network() -> Deep3DNetwork:
    torch.manual_seed(11)
    return Deep3DNetwork().eval()


def landmarks_at(five: Tensor) -> np.ndarray:
    """(N, 68, 2): landmarks of which only those that place the crop mean anything."""
    points = np.zeros((len(five), 68, 2))
    for place, numbers in enumerate(FIVE_OF_IBUG):
        points[:, list(numbers)] = five[:, None, place].numpy()
    return points


def standard_face(px_per_dm: float, middle: tuple[float, float]) -> Tensor:
    """(1, 5, 2) px: the standard face's points, seen straight."""
    flat = torch.tensor(STANDARD_POINTS_DM, dtype=torch.float64)[:, :2]
    return (px_per_dm * flat * torch.tensor([1.0, -1.0]) + torch.tensor(middle))[None]


def blank(count: int) -> list[np.ndarray]:
    return [np.full((HD.height, HD.width, 3), 90, np.uint8)] * count


# --- the network ---------------------------------------------------------------------------


def test_layers_are_resnet_50_with_seven_heads(network: Deep3DNetwork) -> None:
    state = network.state_dict()
    backbone = [key for key in state if key.startswith("backbone.")]
    trained = sum(value.numel() for value in network.backbone.parameters())
    assert len(backbone) == 318  # as torchvision's has without its last layer
    assert trained == 25_557_032 - 1000 * 2049
    assert sum(HEADS) == LENGTH
    for key, shape in {
        "backbone.conv1.weight": (64, 3, 7, 7),
        "backbone.bn1.running_var": (64,),
        "backbone.layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "backbone.layer1.0.downsample.1.bias": (256,),
        "backbone.layer2.3.bn1.weight": (128,),
        "backbone.layer3.5.conv2.weight": (256, 256, 3, 3),
        "backbone.layer4.2.conv3.weight": (2048, 512, 1, 1),
        "final_layers.4.weight": (27, 2048, 1, 1),
        "final_layers.6.bias": (1,),
    }.items():
        assert tuple(state[key].shape) == shape, key
    assert not [key for key in state if key.startswith("backbone.layer2.1.downsample")]


def test_strides_halve_the_picture_in_the_middle_convolution(network: Deep3DNetwork) -> None:
    values = torch.zeros(1, 3, 64, 64)
    sides = []
    for name, part in network.backbone.named_children():
        values = part(values)
        sides.append((name, values.shape[-1]))
    assert sides == [
        ("conv1", 32), ("bn1", 32), ("relu", 32), ("maxpool", 16),
        ("layer1", 16), ("layer2", 8), ("layer3", 4), ("layer4", 2), ("avgpool", 1),
    ]  # fmt: skip
    first = network.get_submodule("backbone.layer2.0")
    assert first.get_submodule("conv1").stride == (1, 1)
    assert first.get_submodule("conv2").stride == (2, 2)


def light_state(fill: float = 0.01) -> dict[str, Tensor]:
    """A whole state dict that takes no room in a file: one number, repeated."""
    with torch.device("meta"):
        state = Deep3DNetwork().state_dict()
    return {
        key: torch.full((1,), fill).expand(value.shape)
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_checkpoints_load_whatever_they_are_wrapped_in(
    tmp_path: Path, prefix: str, wrapped: bool
) -> None:
    state = light_state()
    state["final_layers.3.bias"] = torch.tensor([0.1, 0.2, 0.3]).half()
    inner = {prefix + key: value for key, value in state.items()}
    path = tmp_path / "epoch_20.pth"
    torch.save({"net_recon": inner, "opt_00": {"lr": 1e-4}} if wrapped else inner, path)
    network = load_deep3d_network(path)
    found = network.state_dict()
    torch.testing.assert_close(
        found["final_layers.3.bias"], torch.tensor([0.1, 0.2, 0.3]), atol=1e-3, rtol=0
    )
    assert (found["backbone.layer3.4.conv1.weight"] == 0.01).all()
    assert not network.training
    assert not any(value.requires_grad for value in network.parameters())
    assert all(value.dtype == torch.float32 for value in network.parameters())
    assert not any(value.is_meta for value in found.values())


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    state = light_state()
    del state["backbone.layer3.2.bn2.running_mean"]
    torch.save({"net_recon": state}, tmp_path / "old.pth")
    with pytest.raises(ConfigError, match=r"layer3\.2\.bn2\.running_mean") as raised:
        load_deep3d_network(tmp_path / "old.pth")
    assert "epoch_20.pth" in raised.value.remedy


def test_another_size_is_named(tmp_path: Path) -> None:
    state = light_state()
    state["final_layers.0.bias"] = torch.zeros(100)
    torch.save({"net_recon": state}, tmp_path / "flame.pth")
    with pytest.raises(ConfigError, match=r"final_layers\.0\.bias is \(100,\), not \(80,\)"):
        load_deep3d_network(tmp_path / "flame.pth")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match=r"absent\.pth"):
        load_deep3d_network(tmp_path / "absent.pth")
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(MissingAssetError, match="loaded safely"):
        load_deep3d_network(tmp_path / "torn.pth")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="net_recon"):
        load_deep3d_network(tmp_path / "list.pth")
    torch.save({"net_recon": {"conv1.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="arrays are missing"):
        load_deep3d_network(tmp_path / "other.pth")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"net_recon": Evil(str(tmp_path / "ran"))}, tmp_path / "evil.pth")
    with pytest.raises(MissingAssetError, match="loaded safely"):
        load_deep3d_network(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


class Evil:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


# --- the crop ------------------------------------------------------------------------------


def test_five_points_of_both_layouts() -> None:
    numbered = lambda count: np.stack((np.arange(count), -np.arange(count)), -1)[None]  # noqa: E731
    dense = five_points(numbered(478).astype(float), MEDIAPIPE478.layout)[0, :, 0]
    assert dense.tolist() == [(33 + 133) / 2, (362 + 263) / 2, 1, 61, 291]
    sparse = five_points(numbered(68).astype(float), IBUG68.layout)[0, :, 0]
    assert sparse.tolist() == [sum(numbers) / len(numbers) for numbers in FIVE_OF_IBUG]


def test_frames_without_a_face_are_named() -> None:
    points = np.zeros((3, 68, 2))
    points[1, 30] = np.nan
    with pytest.raises(FittingError, match="frame 1"):
        five_points(points, IBUG68.layout)
    with pytest.raises(FittingError, match="no frame"):
        five_points(points[:0], IBUG68.layout)


def test_the_network_sees_the_face_upright_in_red_green_blue() -> None:
    """A red disc on the picture's left eye comes to lie where the standard face has that eye."""
    five = standard_face(300.0, (1300.0, 500.0))
    picture = np.zeros((HD.height, HD.width, 3), np.uint8)
    rows, columns = np.mgrid[: HD.height, : HD.width] + 0.5
    x, y = five[0, 0].numpy()
    picture[(columns - x) ** 2 + (rows - y) ** 2 < 40**2] = (255, 0, 0)
    network = Fixed(torch.zeros(1, LENGTH))
    predict_vectors(network, [picture], standard_crops(five))
    red, green, blue = network.seen[0]
    assert red.max() == 1.0
    assert green.max() == blue.max() == 0.0
    weight = red / red.sum()
    half = torch.arange(CROP_PX) + 0.5
    found = torch.stack(((weight.sum(0) * half).sum(), (weight.sum(1) * half).sum()))
    wanted = PIXELS_PER_DM * torch.tensor(STANDARD_POINTS_DM[0][:2]) * torch.tensor([1, -1]) + 112
    torch.testing.assert_close(found, wanted, atol=0.1, rtol=0)


# --- the guess -----------------------------------------------------------------------------


def test_random_weights_give_a_finite_guess(network: Deep3DNetwork, model: MorphableModel) -> None:
    for head in network.final_layers:
        nn.init.normal_(head.weight, std=1e-3)
    five = torch.cat((standard_face(300, (900, 600)), standard_face(150, (1400, 300))))
    guess = deep3d_guess(network, model, blank(2), landmarks_at(five), IBUG68.layout, HD)
    shapes = {name: tuple(value.shape) for name, value in vars(guess).items()}
    assert shapes == {
        "identity": (80,), "texture": (80,), "expression": (2, 64), "rotation": (2, 3),
        "translation": (2, 3), "lighting": (2, 3, 9), "error_px": (2,),
    }  # fmt: skip
    assert all(torch.isfinite(value).all() for value in vars(guess).values())
    assert all(value.dtype == torch.float32 for value in vars(guess).values())


def test_known_heads_give_the_known_pose(network: Deep3DNetwork, model: MorphableModel) -> None:
    """Zero weights, the wanted vector as bias, and a crop in the frame's middle: exact."""
    wanted = torch.from_numpy(published.random_vectors(1))[0]
    for head, part in zip(network.final_layers, wanted.split(HEADS), strict=True):
        nn.init.zeros_(head.weight)
        head.bias.data.copy_(part)
    px_per_dm = PIXELS_PER_DM * HD.focal_px / CROP_CAMERA.focal_px
    points = landmarks_at(standard_face(px_per_dm, (HD.width / 2, HD.height / 2)))
    guess = deep3d_guess(network, model, blank(1), points, IBUG68.layout, HD)
    rotation, translation = deep3d_frame(model).to_ours(wanted[None, 224:227], wanted[None, 254:])
    torch.testing.assert_close(guess.rotation, rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(guess.translation, translation, atol=1e-2, rtol=0)
    torch.testing.assert_close(guess.identity, wanted[:80])
    torch.testing.assert_close(guess.expression[0], wanted[80:144])
    torch.testing.assert_close(guess.texture, wanted[144:224])
    torch.testing.assert_close(guess.lighting[0], gamma_to_lighting(wanted[227:254]))
    assert guess.error_px.max() < 1e-3


def test_a_network_that_is_right_places_heads_where_they_are(model: MorphableModel) -> None:
    """Heads anywhere in the frame, told as their crops show them, come back where they stand."""
    chance = torch.Generator().manual_seed(4)
    person = PersonCoefficients(torch.randn(80, generator=chance), torch.zeros(80))
    track = TrackCoefficients(
        expression=0.5 * torch.randn(3, 64, generator=chance),
        rotation=torch.tensor([[0.1, -0.3, 0.05], [0.0, 0.4, -0.1], [-0.2, 0.1, 0.2]]),
        translation=torch.tensor([[20.0, 10, 800], [120, -60, 1100], [-90, 40, 1000.0]]),
        lighting=torch.randn(3, 3, 9, generator=chance),
        confidence=torch.ones(3),
    )
    posed = transform_points(
        model.shape(person.identity, track.expression), track.rotation, track.translation
    )
    eye = posed[:, [published.EYES[0] - 1, published.EYES[1] - 1]].double()
    across = eye[:, 1] - eye[:, 0]
    five = HD.project(eye[:, :1] + torch.tensor([0, 1, 0.5, 0.1, 0.9])[:, None] * across[:, None])
    five[:, 2:] += (
        torch.tensor([[0.0, 0.55], [0.0, 1.1], [0.0, 1.1]])
        * ((five[:, 1] - five[:, 0]).norm(dim=-1)[:, None, None])
    )
    crops = standard_crops(five)
    told, _ = frame_to_crop(model, person, track, crops, HD)
    answers = Fixed(write_deep3d(model, person, told))
    points = landmarks_at(five)
    guess = deep3d_guess(answers, model, blank(3), points, IBUG68.layout, HD)
    assert (guess.rotation - track.rotation).abs().max() < math.radians(2.0)
    assert (guess.translation - track.translation).abs().max() < 40.0
    found = transform_points(
        model.shape(guess.identity, guess.expression), guess.rotation, guess.translation
    )
    assert (HD.project(found) - HD.project(posed)).norm(dim=-1).max() < 12.0  # of heads of 300 px
    torch.testing.assert_close(guess.lighting, track.lighting, atol=1e-5, rtol=1e-5)


def test_frames_that_disagree_on_identity_keep_their_projections(model: MorphableModel) -> None:
    """The averaged person is posed anew so that it covers what each frame's own person covered."""
    rows = torch.from_numpy(np.concatenate([published.random_vectors(1, seed) for seed in (1, 2)]))
    rows[:, :80] *= 0.3
    five = torch.cat(2 * [standard_face(211.0, (HD.width / 2, HD.height / 2))])
    guess = deep3d_guess(Fixed(rows), model, blank(2), landmarks_at(five), IBUG68.layout, HD)
    torch.testing.assert_close(guess.identity, rows[:, :80].mean(0))
    assert guess.error_px.min() > 0.1  # two people are not one
    assert guess.error_px.max() < 15.0


def test_the_guess_needs_the_basel_face_model(model: MorphableModel) -> None:
    other = replace(model, source="anny")
    with pytest.raises(ConfigError, match="anny") as raised:
        deep3d_guess(Fixed(torch.zeros(1, LENGTH)), other, blank(1), np.zeros((1, 68, 2)), "", HD)
    assert "fit.face_model=bfm2009" in raised.value.remedy
