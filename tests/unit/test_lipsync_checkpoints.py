"""Official files load whatever they are wrapped in; everything else is refused with a remedy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.lipsync.checkpoints import load_network, unwrap_state
from metatalk.lipsync.syncnet import SyncNet
from metatalk.lipsync.wav2lip import QualityDiscriminator, Wav2Lip

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Random weights of the smallest network, at half precision to spare the disk."""
    torch.manual_seed(3)
    return {key: value.half() for key, value in QualityDiscriminator().state_dict().items()}


def same_weights(network: torch.nn.Module, state: State) -> bool:
    loaded = network.state_dict()
    return all(torch.equal(loaded[key], value.float()) for key, value in state.items())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_wrapping_and_prefix_do_not_matter(state: State, prefix: str, wrapped: bool) -> None:
    inner = {prefix + key: value for key, value in state.items()}
    found = unwrap_state({"state_dict": inner, "global_step": 7} if wrapped else inner)
    assert found.keys() == state.keys()


def test_training_checkpoint_loads(state: State, tmp_path: Path) -> None:
    path = tmp_path / "visual_quality_disc.pth"
    wrapped = {"module." + key: value for key, value in state.items()}
    torch.save({"state_dict": wrapped, "optimizer": {"lr": 1e-4}, "global_epoch": 3}, path)
    network, record = load_network(QualityDiscriminator, path)
    assert same_weights(network, state)
    assert not network.training
    assert record.file == path.name
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "non-commercial" in record.terms
    assert not record.commercial


def test_weights_trained_here_carry_their_own_terms(state: State, tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    save_file(state, path, {"terms": "trained on our own footage", "commercial": "true"})
    network, record = load_network(QualityDiscriminator, path)
    assert same_weights(network, state)
    assert record.terms == "trained on our own footage"
    assert record.commercial


def test_another_networks_file_is_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "disc.pth"
    torch.save(state, path)
    with pytest.raises(ConfigError, match=r"holds a Wav2Lip quality discriminator, not a Wav2Lip"):
        load_network(Wav2Lip, path)


def test_layers_of_other_sizes_are_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "large.pth"
    key = "face_encoder_blocks.0.0.conv_block.0.weight"
    torch.save({**state, key: torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(ConfigError, match=r"\(64, 3, 7, 7\), not \(32, 3, 7, 7\)"):
        load_network(QualityDiscriminator, path)


def test_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match=r"syncnet_v2\.model") as caught:
        load_network(SyncNet, tmp_path / "absent.model")
    assert "absent.model" in caught.value.problem


@pytest.mark.parametrize("name", ["page.pth", "page.safetensors"])
def test_a_web_page_saved_as_weights_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("<html>Quota exceeded</html>")
    with pytest.raises(MissingAssetError, match="damaged download"):
        load_network(SyncNet, path)


def test_code_inside_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "evil.pth", tmp_path / "touched"
    torch.save({"state_dict": Touch(touched)}, path)
    with pytest.raises(MissingAssetError, match="safely"):
        load_network(SyncNet, path)
    assert not touched.exists()


class Touch:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
