"""Reconstructions as the render command is given them: found, and mixed with one another."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from metatalk.config import Config
from metatalk.errors import ConfigError, MissingAssetError, ShapeError, StaleArtefactError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import (
    PersonCoefficients,
    TrackCoefficients,
    load_coefficients,
)
from metatalk.morphable.model import MorphableModel
from metatalk.stages.actor import require_face_model
from metatalk.stages.artefacts import load_index
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.manifest import Manifest, read_manifest

FILE = "coefficients.npz"
PARTS = ("expression", "identity", "pose", "light", "texture")
CURVES = (".csv", ".json")
Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class Source:
    """One clip's reconstruction, and what is known about it."""

    path: Path  # as the user named it
    file: Path  # the coefficients
    root: Path | None  # the actor folder, or one like it, that it belongs to
    person: PersonCoefficients
    track: TrackCoefficients
    camera: Camera
    index: FrameIndex | None  # when each frame is shown
    manifest: Manifest | None  # of the fit

    @property
    def face_model(self) -> str | None:
        """The face model it was fitted with, where that is on record."""
        return self._setting("fit", "face_model")

    @property
    def detector(self) -> str | None:
        """The detector of its landmarks, where that is on record."""
        return self._setting("landmarks", "detector")

    def _setting(self, section: str, key: str) -> str | None:
        settings = self.manifest.cause.settings if self.manifest else {}
        return settings.get(section, {}).get(key)


@dataclass(frozen=True, eq=False)
class Mixture:
    """What is drawn: parts of one source, or of several."""

    person: PersonCoefficients
    track: TrackCoefficients
    stage: Source  # gives pose, camera, times and footage: they mean nothing apart
    sources: tuple[Source, ...]  # all that it is made of

    @property
    def files(self) -> tuple[Path, ...]:
        """The coefficients that it is made of."""
        return tuple(dict.fromkeys(source.file for source in self.sources))

    def config(self, asked: Config) -> Config:
        """The settings, with the face model and detector on record instead of those asked for."""
        models = [source.face_model for source in self.sources if source.face_model]
        detectors = [source.detector for source in self.sources if source.detector]
        fit = replace(asked.fit, face_model=(models or [asked.fit.face_model])[0])
        detector: Any = (detectors or [asked.landmarks.detector])[0]
        return replace(asked, fit=fit, landmarks=replace(asked.landmarks, detector=detector))


def open_source(path: Path) -> Source:
    """Find a reconstruction.

    Args:
        path: an actor's folder, the folder of a fit, or a file of coefficients.

    Returns:
        The reconstruction.

    Raises:
        MissingAssetError: there is none, or it cannot be read.
    """
    file = next((f for f in (path, path / "fit" / FILE, path / FILE) if f.is_file()), None)
    if file is not None and file.suffix.lower() in CURVES:
        raise curves_are_no_fit(path)
    if file is None:
        raise MissingAssetError(
            f"{path}: no fitted face there",
            "give an actor's folder, a fit's folder or a file of coefficients; "
            "to fit a clip: metatalk fit CLIP",
        )
    try:
        person, track, camera = load_coefficients(file)
    except (OSError, ShapeError) as error:
        raise MissingAssetError(
            f"{file}: not a file of coefficients", "fit the clip again: metatalk fit CLIP"
        ) from error
    folder = file.parent
    root = folder.parent if folder.name == "fit" else None
    times = root / "ingest" / "frames.npz" if root else None
    index = read_artefact(load_index, times) if times and times.is_file() else None
    return Source(path, file, root, person, track, camera, index, read_manifest(folder))


def read_artefact(read: Callable[[Path], Content], file: Path) -> Content:
    """Read a file of a finished stage.

    Raises:
        MissingAssetError: it is not there, or damaged.
    """
    try:
        return read(file)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MissingAssetError(
            f"{file}: not there, or damaged ({error})",
            f"make it anew: metatalk fit CLIP --actor {file.parent.parent} "
            f"--rerun {file.parent.name}",
        ) from error


def curves_are_no_fit(path: Path) -> ConfigError:
    """The error for edited curves in a fit's place."""
    return ConfigError(
        f"{path} holds curves, and no head to put them on",
        f"name the actor's folder: metatalk export DIR --from {path} -o OUT, "
        f"or metatalk drive DIR AUDIO --expression {path} -o OUT.mp4",
    )


def require_model_on_record(root: Path, config: Config) -> None:
    """Check that a fit belongs to its face model as it is now, where that is on record.

    Args:
        root: the folder that holds the `fit/`.
        config: settings with the fit's own face model and detector.

    Raises:
        StaleArtefactError: the face model has changed since: its numbers mean another face.
    """
    folder = ActorFolder(root)
    manifest = folder.manifest("fit")
    if manifest is None or "face_model" not in manifest.cause.inputs:
        return
    try:
        require_face_model(folder, config)
    except StaleArtefactError as error:
        if folder.manifest("render") is not None:
            raise
        raise StaleArtefactError(
            error.problem, f"metatalk fit CLIP --actor {root} --rerun fit"
        ) from error


def mix_sources(base: Source, parts: Mapping[str, Source]) -> Mixture:
    """Put a head together from several reconstructions, row by row.

    Args:
        base: what gives every part that is not named.
        parts: sources by part: "expression", "identity", "pose", "light", "texture". With the
            pose come the camera, the size of the picture, the times and the footage.

    Returns:
        The head; its track ends with the shortest of those it is made of.

    Raises:
        ConfigError: the sources were fitted with different face models.
    """
    chosen = {part: parts.get(part, base) for part in PARTS}
    _require_one_model(base, list(chosen.values()))
    expression, pose, light = (chosen[part].track for part in ("expression", "pose", "light"))
    rows = torch.arange(min(len(expression), len(pose), len(light)))
    track = TrackCoefficients(
        expression.expression[rows],
        pose.rotation[rows],
        pose.translation[rows],
        light.lighting[rows],
        pose.confidence[rows],
    )
    person = PersonCoefficients(
        chosen["identity"].person.identity, chosen["texture"].person.texture
    )
    return Mixture(person, track, chosen["pose"], (base, *parts.values()))


def require_fitting(mixture: Mixture, model: MorphableModel) -> None:
    """Check that coefficients belong to a face model.

    Raises:
        ConfigError: they are of other sizes.
    """
    has = (
        len(mixture.person.identity),
        mixture.track.expression.shape[1],
        len(mixture.person.texture),
    )
    needs = (len(model.identity_basis), len(model.expression_names), len(model.texture_basis))
    if has != needs:
        raise ConfigError(
            f"{mixture.stage.path}: {has[0]} identity, {has[1]} expression and {has[2]} texture "
            f"coefficients, but the face model {model.source} has {needs[0]}, {needs[1]} and "
            f"{needs[2]}",
            "name the face model they were fitted with: fit.face_model=NAME",
        )


def _require_one_model(base: Source, others: list[Source]) -> None:
    for other in others:
        first, second = base.face_model, other.face_model
        unlike = _sizes(base) != _sizes(other)
        if unlike or (first and second and first != second):
            raise ConfigError(
                f"{base.path} and {other.path} were fitted with different face models "
                f"({first or 'unknown'}, {second or 'unknown'}), whose coefficients do not mix",
                "fit both clips with one: fit.face_model=NAME",
            )


def _sizes(source: Source) -> tuple[int, int, int]:
    person, track = source.person, source.track
    return len(person.identity), track.expression.shape[1], len(person.texture)
