from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import pytest

from metatalk.compose.config import X264_PRESETS
from metatalk.config import Config, load_config, preset_names, preset_path
from metatalk.errors import ConfigError

PRESETS = sorted(path.stem for path in preset_path("draft").parent.glob("*.yaml"))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_the_schema(name: str) -> None:
    assert isinstance(load_config(name), Config)


def test_presets_are_named_without_the_tests_own() -> None:
    assert preset_names() == ["draft", "standard", "studio"]


def test_defaults_are_the_schemas() -> None:
    assert load_config() == Config()


def test_words_win_over_file_and_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 7\nneural:\n  steps: 11\n  batch: 3\n")
    config = load_config("tiny", file, ["neural.batch=5"])
    assert (config.seed, config.neural.steps, config.neural.batch) == (7, 11, 5)
    assert config.neural.window_px == load_config("tiny").neural.window_px


def test_nested_keys_lists_and_nothing() -> None:
    config = load_config(words=["a2e.tcn.dilations=[1,2,4]", "landmarks.face=null"])
    assert config.a2e.tcn.dilations == (1, 2, 4)
    assert config.landmarks.face is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_recorded_configuration_loads_again(tmp_path: Path, name: str) -> None:
    config = load_config(name, words=["landmarks.face=1"])
    file = tmp_path / "config.json"
    file.write_text(json.dumps(asdict(config), default=str))
    assert load_config(file=file) == config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["neural.stepz=3"], "did you mean neural.steps?"),
        (["nueral.steps=3"], "did you mean neural"),
        (["dilations=[1]"], "did you mean a2e.tcn.dilations?"),
        (["neural.steps=many"], "neural.steps"),
        (["neural.steps=-1"], "neural.steps is -1"),
        (["neural=3"], "neural is a section"),
        (["device=gpu"], "'cuda'"),
        (["seed=null"], "seed"),
        (["seed=-1"], "seed is -1"),
        (["seed=4294967296"], "seed is"),
        (["drive.encoder_preset=bogus"], "drive.encoder_preset is 'bogus'"),
        (["drive.batch=0"], "drive.batch is 0"),
        (["drive.detail_px=.nan"], "drive.detail_px is nan"),
        (["neural.minutes=nan"], "neural.minutes is nan"),
        (["neural.minutes=.inf"], "neural.minutes is inf"),
        (["neural.l1_weight=-1"], "neural.l1_weight is -1"),
        (["neural.colour_jitter=1"], "neural.colour_jitter is 1"),
        (["neural.widths=[8,8,8,0]"], "neural.widths is"),
        (["a2e.smooth_s=-1"], "a2e.smooth_s is -1"),
        (["a2e.amplitude=nan"], "a2e.amplitude is nan"),
        (["a2e.learning_rate=0"], "a2e.learning_rate is 0"),
        (["a2e.liveliness=2"], "a2e.liveliness is 2"),
        (["a2e.augment.warp=nan"], "a2e.augment.warp is nan"),
        (["a2e.kernel.ridge=nan"], "a2e.kernel"),
        (["a2e.tcn.kernel=-1"], "a2e.tcn.kernel is -1"),
        (["a2e.network=gru"], "a2e.network"),
        (["a2e.features.streams=[pitch]"], "a2e.features.streams names 'pitch'"),
        (["a2e.kernel.foreign=2"], "a2e.kernel.foreign is 2"),
        (["a2e.seen=-0.1"], "a2e.seen is -0.1"),
        (["a2e.offset_s=3"], "a2e.offset_s is 3"),
        (["a2e.lookahead_ms=nan"], "a2e.lookahead_ms is nan"),
        (["a2e.voices.codec=2"], "a2e.voices.codec is a share above 1"),
        (["a2e.activity.hold=0.9"], "a2e.activity.hold is 0.9"),
        (["render.margin=nan"], "render.margin is nan"),
        (["pseudo.max_error_mm=nan"], "pseudo.max_error_mm"),
        (["landmarks.max_gap_s=nan"], "landmarks.max_gap_s"),
        (["fit.robust_mm=nan"], "fit.robust_mm is nan"),
        (["seed"], "is not key=value"),
        (["=3"], "is not key=value"),
        (["a2e.tcn.dilations=[1"], "cannot be read"),
    ],
)
def test_wrong_words_stop_the_run_with_the_key_named(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(words=words)
    assert said in str(caught.value)
    assert caught.value.remedy or "neural.steps" in said


@pytest.mark.parametrize("name", X264_PRESETS)
def test_x264s_own_presets_are_taken(name: str) -> None:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 64, "yuv420p"
    context.time_base, context.options = Fraction(1, 25), {"preset": name}
    context.open()
    assert load_config(words=[f"drive.encoder_preset={name}"]).drive.encoder_preset == name


def test_wrong_files_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(file=tmp_path / "nothing.yaml")
    for text in ("- a\n- b\n", "{", "just words", "neural:\n  stepz: 3\n"):
        file = tmp_path / "mine.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError, match="mine.yaml"):
            load_config(file=file)


def test_unknown_preset_is_answered_with_a_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean draft"):
        load_config("drafts")


def test_off_is_a_word_and_not_false(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("drive:\n  retime: off\n")
    assert load_config(None, file).drive.retime == "off"
    assert load_config(words=["drive.retime=off"]).drive.retime == "off"
    assert load_config(words=["drive.filmed=off"]).drive.filmed is False
    for word in ("drive.retime=true", "drive.retime=${nothing}"):
        with pytest.raises(ConfigError):
            load_config(words=[word])
