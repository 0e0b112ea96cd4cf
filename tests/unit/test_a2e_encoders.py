"""Encoders of speech: on the clock, the same for a piece as for the whole, and refused clearly."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from metatalk.a2e import encoders
from metatalk.a2e.encoder_config import EncoderConfig
from metatalk.a2e.encoders import (
    FrameGrid,
    SpeechEncoder,
    builtin_encoder,
    has_builtin_encoder,
    open_encoder,
)
from metatalk.errors import ConfigError, MissingAssetError, ShapeError

GRIDS = [FrameGrid(384, 895, 447.0), FrameGrid(320, 400, 199.5), FrameGrid(320, 320, 0.0)]
needs_builtin = pytest.mark.skipif(
    importlib.util.find_spec("moonshine_voice") is None, reason="moonshine-voice is not installed"
)


def clock_encoder(grid: FrameGrid, **windows: float) -> SpeechEncoder:
    """Hears the sound's value at each frame's centre: of a ramp, the time."""

    def run(samples: np.ndarray) -> np.ndarray:
        frames = (len(samples) - grid.field) // grid.hop + 1
        at = np.arange(frames) * grid.hop + grid.centre
        return np.interp(at, np.arange(len(samples)), samples)[:, None].astype(np.float32)

    return SpeechEncoder("clock", 1, grid, run, "none", "0", **windows)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Syllables of noise, 20 dB over what is between them."""
    count = int(16_000 * seconds)
    beat = 0.1 + np.clip(np.sin(2 * np.pi * 3 * np.arange(count) / 16_000), 0, None)
    return (beat * np.random.default_rng(seed).normal(0, 0.1, count)).astype(np.float32)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("seconds", [1.5, 21.0])
def test_columns_hear_their_own_moment(grid: FrameGrid, seconds: float) -> None:
    count = int(16_000 * seconds)
    ramp = np.arange(count, dtype=np.float32) / 16_000
    columns = int(80 * seconds) - 8
    heard = clock_encoder(grid).encode(ramp, columns)
    assert heard.shape == (1, columns)
    np.testing.assert_allclose(heard[0, 1:], np.arange(1, columns) / 80, atol=2e-5)


def test_windows_are_blended_and_bounded() -> None:
    longest = []
    encoder = clock_encoder(GRIDS[0])

    def run(samples: np.ndarray) -> np.ndarray:
        longest.append(len(samples))
        # another level in every window: only blending makes it steady
        return encoder.run(samples) * 0 + len(longest) % 2

    heard = replace(encoder, run=run).encode(np.zeros(16_000 * 60, np.float32), 4800)[0]
    assert max(longest) <= 8 * 16_000
    assert np.abs(np.diff(heard)).max() < 0.02, "a seam jumps"


def test_a_piece_is_heard_as_in_the_whole() -> None:
    clock = clock_encoder(GRIDS[1])

    def run(samples: np.ndarray) -> np.ndarray:
        return clock.run(samples) - samples.mean()  # hangs on all of the window

    encoder = replace(clock, run=run)
    sound = noise(40.0)
    step = encoder.step_samples
    assert step % 200 == 0
    whole = encoder.encode(sound, 3200)
    piece = encoder.encode(sound[2 * step :], 3200 - 2 * step // 200)
    away = int(80 * encoder.window_s)
    np.testing.assert_array_equal(piece[:, away:], whole[:, 2 * step // 200 + away :])
    assert np.abs(piece[:, :away] - whole[:, 2 * step // 200 :][:, :away]).max() > 0


@pytest.mark.parametrize("count", [0, 1, 100, 1600])
def test_too_little_sound_is_silence(count: int) -> None:
    heard = clock_encoder(GRIDS[0]).encode(np.zeros(count, np.float32), 30)
    assert heard.shape == (1, 30)
    assert not heard.any()
    assert clock_encoder(GRIDS[0]).encode(np.zeros(count, np.float32), 0).shape == (1, 0)


def test_numbers_only() -> None:
    with pytest.raises(ShapeError, match="not numbers"):
        clock_encoder(GRIDS[0]).encode(np.array([np.inf], np.float32), 1)


def test_context_fits_the_window() -> None:
    with pytest.raises(ConfigError, match="context"):
        clock_encoder(GRIDS[0], window_s=2.0, context_s=1.0)
    with pytest.raises(ConfigError, match="too short"):
        clock_encoder(GRIDS[0], window_s=0.5, context_s=0.1)


def test_none_and_empty() -> None:
    assert open_encoder(EncoderConfig("none")) is None
    with pytest.raises(ConfigError, match="a2e.encoder.source"):
        EncoderConfig("")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no speech encoder there"):
        open_encoder(EncoderConfig(str(tmp_path / "encoder.onnx")))


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not has_builtin_encoder()
    with pytest.raises(MissingAssetError, match="is not installed") as refused:
        builtin_encoder()
    assert "source=none" in refused.value.remedy


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "assets" / "tiny-en" / "encoder_model.ort"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"something else")
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(MissingAssetError, match="not the known speech encoder"):
        builtin_encoder()


def test_an_absent_runtime_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(name: str) -> None:
        raise ImportError(name)

    (tmp_path / "encoder.onnx").write_bytes(b"0")
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingAssetError, match="onnxruntime"):
        open_encoder(EncoderConfig(str(tmp_path / "encoder.onnx")))
    (tmp_path / "config.json").write_text('{"model_type": "hubert"}', encoding="utf-8")
    with pytest.raises(MissingAssetError, match="transformers"):
        open_encoder(EncoderConfig(str(tmp_path)))


@needs_builtin
def test_builtin_frames_lie_where_they_are_said_to() -> None:
    encoder = builtin_encoder()
    assert encoders._measure_grid(encoders._counter(encoder.run), "") == encoder.grid


@needs_builtin
def test_builtin_is_steady_and_finite() -> None:
    encoder, sound = builtin_encoder(), noise(14.0)
    whole = encoder.encode(sound, 1120)
    assert whole.shape == (288, 1120)
    np.testing.assert_array_equal(encoder.encode(sound, 1120), whole)
    # the same sound from another moment on, inside other windows' surroundings
    shift = 25 * 384  # whole frames and whole columns, and not a window's step
    other = encoder.encode(sound[shift:], 1120 - shift // 200)[:, 240:-240]
    same = whole[:, shift // 200 :][:, 240:-240]
    assert np.corrcoef(other.ravel(), same.ravel())[0, 1] > 0.95
    for silent in (np.zeros(0), np.zeros(1600), np.zeros(40_000)):
        assert np.isfinite(encoder.encode(silent.astype(np.float32), 200)).all()


def write_onnx(path: Path, kernel: int, stride: int, pad: int = 0) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    taps = np.random.default_rng(0).normal(size=(5, 1, kernel)).astype(np.float32)
    axis = helper.make_tensor("axis", kind.INT64, [1], [1])
    weights = helper.make_tensor("taps", kind.FLOAT, taps.shape, taps.ravel())
    steps = [
        helper.make_node("Unsqueeze", ["sound", "axis"], ["row"]),
        helper.make_node("Conv", ["row", "taps"], ["c"], strides=[stride], pads=[pad, pad]),
        helper.make_node("Transpose", ["c"], ["frames"], perm=[0, 2, 1]),
    ]
    sound = helper.make_tensor_value_info("sound", kind.FLOAT, [1, "S"])
    frames = helper.make_tensor_value_info("frames", kind.FLOAT, [1, "T", 5])
    graph = helper.make_graph(steps, "toy", [sound], [frames], [axis, weights])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))


@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(400, 160, 0), (1001, 480, 0), (401, 160, 60)]
)
def test_an_onnx_file_tells_its_own_frames(
    tmp_path: Path, kernel: int, stride: int, pad: int
) -> None:
    write_onnx(tmp_path / "toy.onnx", kernel, stride, pad)
    encoder = open_encoder(EncoderConfig(str(tmp_path / "toy.onnx")))
    assert encoder is not None
    assert encoder.size == 5
    field = kernel - 2 * pad
    assert encoder.grid == FrameGrid(stride, field, (field - 1) / 2)
    assert encoder.encode(noise(2.0), 160).shape == (5, 160)


def test_other_files_are_no_encoders(tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="no speech encoder"):
        open_encoder(EncoderConfig(str(tmp_path / "toy.onnx")))


def test_stretches_longer_than_the_sound_are_no_encoders(tmp_path: Path) -> None:
    write_onnx(tmp_path / "toy.onnx", 70_000, 160)
    with pytest.raises(ConfigError, match="no frames"):
        open_encoder(EncoderConfig(str(tmp_path / "toy.onnx")))


SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 1, "num_conv_pos_embedding_groups": 1,
}  # fmt: skip


def save_checkpoint(folder: Path, kind: str, seed: int = 0) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    if kind == "whisper":
        config = transformers.WhisperConfig(
            d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=10,
            max_source_positions=100, pad_token_id=0, bos_token_id=0, eos_token_id=0,
            decoder_start_token_id=0,
        )  # fmt: skip
        model = transformers.WhisperModel(config)
    else:
        name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
        model = getattr(transformers, f"{name}Model")(
            getattr(transformers, f"{name}Config")(**SMALL)
        )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    kinds = ("wav2vec2", "hubert", "wavlm", "whisper")
    return {kind: save_checkpoint(root / kind, kind) for kind in kinds}


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper"])
def test_a_users_checkpoint_is_heard_in_time(checkpoints: dict[str, Path], kind: str) -> None:
    encoder = open_encoder(EncoderConfig(str(checkpoints[kind]), layer=0))
    assert encoder is not None
    sound = noise(1.9, seed=1) * 0.5
    moment = 0.93  # where one burst more is laid over the sound
    other = sound.copy()
    place = int(moment * 16_000)
    other[place - 160 : place + 160] += noise(1.0, seed=2)[:320]
    before, after = encoder.encode(sound, 150), encoder.encode(other, 150)
    assert before.shape == (16, 150)
    change = ((after - before) ** 2).sum(axis=0)
    near = np.abs(np.arange(150) / 80 - moment) < 0.1
    assert change[near].sum() > 0.5 * change.sum()
    heard_s = (change * near) @ (np.arange(150) / 80) / (change * near).sum()
    assert heard_s == pytest.approx(moment, abs=0.005)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper"])
def test_layers_are_those_of_the_model(checkpoints: dict[str, Path], kind: str) -> None:
    sound, path = noise(1.2), str(checkpoints[kind])
    heard = {}
    for layer in (0, 1, 2, -1):
        encoder = open_encoder(EncoderConfig(path, layer))
        assert encoder is not None
        heard[layer] = encoder.encode(sound, 96)
        assert np.isfinite(heard[layer]).all()
        assert np.isfinite(encoder.encode(np.zeros(1600, np.float32), 8)).all()
    np.testing.assert_array_equal(heard[-1], heard[2])
    assert np.abs(heard[0] - heard[1]).max() > 1e-3
    assert np.abs(heard[1] - heard[2]).max() > 1e-3
    with pytest.raises(ConfigError, match="2 layers"):
        open_encoder(EncoderConfig(path, 3))


def test_the_last_layer_is_the_models_output(checkpoints: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    encoder = open_encoder(EncoderConfig(str(checkpoints["hubert"])))
    assert encoder is not None
    model = transformers.HubertModel.from_pretrained(checkpoints["hubert"]).eval()
    sound = noise(1.0)
    normal = (sound - sound.mean()) / sound.std()
    with torch.inference_mode():
        expected = model(torch.from_numpy(normal)[None]).last_hidden_state[0].numpy()
    np.testing.assert_allclose(encoder.run(sound), expected, atol=1e-4)
    assert len(expected) == (len(sound) - encoder.grid.field) // encoder.grid.hop + 1
    assert (encoder.grid.hop, encoder.grid.field) == (320, 400)


def test_the_model_cards_licence_is_kept(checkpoints: dict[str, Path]) -> None:
    folder = checkpoints["wavlm"]
    first = open_encoder(EncoderConfig(str(folder)))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    second = open_encoder(EncoderConfig(str(folder)))
    assert first is not None and second is not None  # noqa: PT018
    assert first.terms == "the user's own"
    assert second.terms.startswith("mit")


def test_pickled_weights_are_not_opened(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    config = (checkpoints["hubert"] / "config.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(MissingAssetError, match="safetensors"):
        open_encoder(EncoderConfig(str(tmp_path)))


def test_broken_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(MissingAssetError, match=r"config\.json"):
        open_encoder(EncoderConfig(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="bert"):
        open_encoder(EncoderConfig(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "hubert"}', encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_encoder(EncoderConfig(str(tmp_path)))


def test_weights_of_another_model_are_refused(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_checkpoint(tmp_path / "hubert", "hubert")
    weights = load_file(folder / "model.safetensors")
    lost = next(key for key in weights if "layers.1" in key)
    kept = {key: value for key, value in weights.items() if key != lost}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="lacks 1 weights"):
        open_encoder(EncoderConfig(str(folder)))
