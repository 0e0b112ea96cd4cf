"""The whole configuration: one section a room, each defined beside the code it steers."""

from __future__ import annotations

import difflib
import functools
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.prior_config import PriorConfig
from metatalk.compose.config import DriveConfig
from metatalk.errors import ConfigError
from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.learning.config import ExpertConfig, TeacherConfig
from metatalk.lipsync.sync_config import SyncConfig
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.neural.config import NeuralConfig
from metatalk.render.config import RenderConfig


@dataclass(frozen=True)
class Config:
    """Everything that can be set; a function is given its own section, never the whole."""

    landmarks: LandmarksConfig = LandmarksConfig()
    fit: FitConfig = FitConfig()
    render: RenderConfig = RenderConfig()
    pseudo: PseudoConfig = PseudoConfig()
    a2e: A2EConfig = A2EConfig()
    prior: PriorConfig = PriorConfig()
    neural: NeuralConfig = NeuralConfig()
    drive: DriveConfig = DriveConfig()
    wav2lip: Wav2LipConfig = Wav2LipConfig()
    sync: SyncConfig = SyncConfig()
    expert: ExpertConfig = ExpertConfig()
    teacher: TeacherConfig = TeacherConfig()
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    commercial_safe: bool = False  # refuse, before any work, what is not known to be so

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 32:
            raise ConfigError(f"seed is {self.seed}", "give a whole number from 0 to 4294967295")
        for key, value in _values(self):
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{key} is {value}", "give a finite number")


def load_config(
    preset: str | None = None, file: Path | None = None, words: Sequence[str] = ()
) -> Config:
    """Merge the schema's defaults, a preset, a file and words, the later before the earlier.

    Args:
        preset: name of a file in configs/, such as "draft"; None: the schema's defaults.
        file: a YAML or JSON file of the same keys.
        words: `key=value`, such as `fit.photo.steps=800`; values are YAML.

    Returns:
        The configuration, complete and checked.

    Raises:
        ConfigError: no such preset or file, an unknown key, a value of the wrong type or range.

    >>> load_config(words=["seed=3"]).seed
    3
    """
    merged = OmegaConf.structured(Config)
    if preset is not None:
        path = preset_path(preset)
        merged = _merge(merged, _read(path), f"preset {preset}")
    if file is not None:
        merged = _merge(merged, _read(file), str(file))
    for word in words:
        merged = _merge(merged, _parse(word), word)
    return _build(merged)


def load_settings(sections: Mapping[str, Any]) -> Config:
    """Build a configuration from plain values, such as a manifest keeps.

    Args:
        sections: plain values by section name; what is left out has the schema's default.

    Returns:
        The configuration, complete and checked.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or range.
    """
    merged = OmegaConf.structured(Config)
    return _build(_merge(merged, OmegaConf.create(dict(sections)), "stored settings"))


def preset_names() -> list[str]:
    """Names of the shipped presets, the test suite's own left out."""
    folder = _preset_folder()
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != "tiny")


def preset_path(name: str) -> Path:
    """Find a preset's file.

    Args:
        name: such as "draft".

    Returns:
        The YAML file: in configs/ of a checkout, in metatalk/presets/ where installed.

    Raises:
        ConfigError: there is no preset of that name.
    """
    path = _preset_folder() / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"no preset {name!r}", _suggest(name, preset_names()))
    return path


def _preset_folder() -> Path:
    package = Path(__file__).parent
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "configs"


def _read(path: Path) -> DictConfig:
    try:
        content = OmegaConf.load(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", "check --config") from error
    except Exception as error:  # YAML has no common base for what it raises
        raise ConfigError(f"{path}: is not YAML ({error})", "mend the file") from error
    if not isinstance(content, DictConfig):
        raise ConfigError(f"{path}: holds no keys", "write it as `section:` and `  key: value`")
    return content


def _parse(word: str) -> DictConfig:
    key, equals, _ = word.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{word}: is not key=value", "write it as section.key=value")
    try:
        return OmegaConf.from_dotlist([word])
    except Exception as error:  # YAML has no common base for what it raises
        raise ConfigError(f"{word}: cannot be read ({error})", "quote the value") from error


def _merge(base: DictConfig, change: DictConfig, where: str) -> DictConfig:
    _require_known(change, where)
    try:
        for key in _switches():
            if OmegaConf.select(change, key) is False:  # YAML's other word for it
                OmegaConf.update(change, key, "off")
        return cast(DictConfig, OmegaConf.merge(base, change))
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        problem = str(error.msg or error).splitlines()[0]
        raise ConfigError(f"{where}: {key}{problem}", "give a value of the key's type") from error


def _build(merged: DictConfig) -> Config:
    try:
        return cast(Config, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ConfigError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:  # a section's own check, wrapped
            raise cause from error
        raise ConfigError(str(error).splitlines()[0], "check the configuration") from error


def _require_known(change: DictConfig, where: str) -> None:
    known = dict(_schema_keys(Config))
    content = cast(Mapping[str, Any], OmegaConf.to_container(change, resolve=False))
    for key in _given_keys(content, known):
        if key not in known:
            section = key.rpartition(".")[0]
            siblings = [name for name in known if name.rpartition(".")[0] == section]
            raise ConfigError(f"{where}: unknown key {key}", _suggest(key, siblings, list(known)))


def _given_keys(
    content: Mapping[str, Any], known: Mapping[str, bool], section: str = ""
) -> Iterator[str]:
    for name, value in content.items():
        key = f"{section}.{name}" if section else str(name)
        yield key
        if known.get(key, False):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{key} is a section", f"set one of its keys: {key}.NAME=VALUE")
            yield from _given_keys(value, known, key)


def _schema_keys(schema: type, section: str = "") -> Iterator[tuple[str, bool]]:
    """Every dotted key of a schema, and whether keys follow below it."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        key = f"{section}.{field.name}" if section else field.name
        child = _section_type(hints[field.name])
        yield key, child is not None
        if child is not None:
            yield from _schema_keys(child, key)


@functools.cache
def _switches() -> tuple[str, ...]:
    """The keys one of whose words is "off", which YAML reads as false."""
    return tuple(key for key, hint in _schema_hints(Config) if "off" in typing.get_args(hint))


def _schema_hints(schema: type, section: str = "") -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(schema)
    for field in fields(schema):
        key = f"{section}.{field.name}" if section else field.name
        yield key, hints[field.name]
        child = _section_type(hints[field.name])
        if child is not None:
            yield from _schema_hints(child, key)


def _values(section: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every setting of a section and of those below it, by its dotted key."""
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            yield from _values(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def _section_type(hint: Any) -> type | None:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next((arg for arg in typing.get_args(hint) if is_dataclass(arg)), hint)
    return hint if isinstance(hint, type) and is_dataclass(hint) else None


def _suggest(given: str, *candidates: Sequence[str]) -> str:
    for names in candidates:
        close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
        if close:
            return f"did you mean {close[0]}?"
    last = given.rpartition(".")[2]
    same = [name for names in candidates for name in names if name.rpartition(".")[2] == last]
    if same:
        return f"did you mean {same[0]}?"
    return "known here: " + ", ".join(candidates[0]) if candidates[0] else "see docs/"
