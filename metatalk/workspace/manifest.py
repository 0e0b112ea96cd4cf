"""What an artefact was made from, and what came of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from metatalk.errors import StaleArtefactError

Metrics = dict[str, float | str]

_RECORDED_PACKAGES = ("metatalk", "numpy", "torch", "av", "mediapipe", "numba", "anny")


@dataclass(frozen=True)
class Cause:
    """Everything that decides a stage's outputs: equal causes, equal artefacts."""

    stage: str
    revision: int
    settings: Mapping[str, Any]  # plain JSON values, by section name
    inputs: Mapping[str, str]  # digest of each artefact and source read

    def __post_init__(self) -> None:
        plain = json.loads(json.dumps(dict(self.settings), default=str))
        object.__setattr__(self, "settings", plain)


@dataclass(frozen=True)
class Manifest:
    """The record beside an artefact; its presence means that the artefact is whole."""

    cause: Cause
    outputs: str  # digest of the artefact's files
    metrics: Metrics
    seconds: float
    made: str = ""  # ISO 8601, UTC
    versions: Mapping[str, str] = field(default_factory=dict)


def finish_manifest(cause: Cause, outputs: str, metrics: Metrics, seconds: float) -> Manifest:
    """Complete a manifest with the time and the versions of what made it.

    Args:
        cause: what the artefact was made from.
        outputs: digest of its files.
        metrics: the stage's figures.
        seconds: wall clock the stage took.

    Returns:
        The manifest, ready to be written.
    """
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(cause, outputs, metrics, round(seconds, 3), made, _installed_versions())


def explain_changes(old: Cause, new: Cause) -> list[str]:
    """Name what differs between two causes, in words for the user.

    Args:
        old: the cause an artefact was made from.
        new: the cause it would be made from now.

    Returns:
        One line a difference, such as `fit.photo.steps: 400 -> 800`; empty when they are equal.
    """
    lines = []
    if old.revision != new.revision:
        lines.append(f"stage revision: {old.revision} -> {new.revision}")
    before, now = dict(_leaves(old.settings)), dict(_leaves(new.settings))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key, _ABSENT) != now.get(key, _ABSENT):
            lines.append(f"{key}: {before.get(key, _ABSENT)} -> {now.get(key, _ABSENT)}")
    for name in sorted(old.inputs.keys() | new.inputs.keys()):
        if old.inputs.get(name) != new.inputs.get(name):
            lines.append(f"input {name}: other content")
    return lines


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that a reader sees the old or the new one, never half of one.

    Args:
        path: the file; a sibling temporary file is renamed onto it.
        value: plain JSON values, or dataclasses' `asdict`.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put `manifest.json` into an artefact's folder.

    Args:
        folder: the artefact's folder.
        manifest: its record.
    """
    write_json(folder / "manifest.json", asdict(manifest))


def read_manifest(folder: Path) -> Manifest | None:
    """Read an artefact's record.

    Args:
        folder: the artefact's folder.

    Returns:
        The manifest, or None where the folder holds none.

    Raises:
        StaleArtefactError: the file is there but is not a manifest.
    """
    content = _read_object(folder / "manifest.json")
    if content is None:
        return None
    try:
        return Manifest(**{**content, "cause": Cause(**content["cause"])})
    except (KeyError, TypeError) as error:
        raise _damaged(folder / "manifest.json") from error


def read_cause(folder: Path) -> Cause | None:
    """Read the cause under which a partial artefact was begun.

    Args:
        folder: the partial artefact's folder.

    Returns:
        The cause, or None where none can be read; the folder is then of no use.
    """
    try:
        content = _read_object(folder / "cause.json")
        return None if content is None else Cause(**content)
    except (StaleArtefactError, TypeError):
        return None


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(content, dict):
        raise _damaged(path)
    return content


def _damaged(path: Path) -> StaleArtefactError:
    return StaleArtefactError(
        f"{path}: damaged, so nothing is known about what {path.parent.name} was made from",
        f"remove the folder {path.parent} and run again",
    )


_ABSENT = "(not set)"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _installed_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
