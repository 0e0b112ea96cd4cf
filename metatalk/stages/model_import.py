"""Face models that the user imported: converted once, and kept in the user's own cache."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.morphable.model import MorphableModel, load_model
from metatalk.stages.model_cache import keep_model, model_folder
from metatalk.stages.model_sources import DEFAULT, SOURCES, FoundSource, recognise, source_names
from metatalk.workspace.cache import writing_in
from metatalk.workspace.manifest import write_json

READERS_REVISION = 1  # goes up when a reader makes another model of the same files


@dataclass(frozen=True)
class ImportedModel:
    """What was imported under a name."""

    name: str  # as `fit.face_model` names it
    source: str  # which family of files it was read from
    terms: str
    digest: str  # of the files
    files: tuple[str, ...]  # their names
    revision: int  # of the readers

    @property
    def path(self) -> Path:
        """Where the converted model lies."""
        return _place(self.name, ".npz")

    @property
    def centred(self) -> bool:
        """Whether its reader knew the point between the eyes."""
        return SOURCES[self.source].centred

    def read(self) -> MorphableModel:
        """Read the converted model.

        Raises:
            MissingAssetError: it was made by another version of metatalk, or is damaged.
        """
        again = f"metatalk face-model import PATH --name {self.name}"
        if self.revision != READERS_REVISION:
            raise MissingAssetError(
                f"the face model {self.name} was imported by another version of metatalk",
                f"import it again: {again}",
            )
        try:
            return load_model(self.path)
        except Exception as error:  # a damaged archive has no one kind of error
            raise MissingAssetError(
                f"the imported face model {self.path} cannot be read: {error}",
                f"import it again: {again}",
            ) from error


def recognise_import(path: Path, name: str | None) -> tuple[str, FoundSource]:
    """Decide what a file or folder is imported as.

    Args:
        path: a model's file, or a folder of its files.
        name: under which it is wanted; None: its source's name.

    Returns:
        The name, and the source with its files.

    Raises:
        ConfigError: the name cannot be used.
        MissingAssetError: see `recognise`.
    """
    found = recognise(path, name)
    chosen = name or found.source.name
    taken = {DEFAULT, *source_names()} - {found.source.name}
    if chosen in taken or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", chosen):
        raise ConfigError(
            f"{path} is the face model {found.source.name} and cannot be called {chosen!r}",
            "give --name small letters, digits and dashes, and no other face model's name",
        )
    return chosen, found


def keep_import(name: str, found: FoundSource, model: MorphableModel) -> ImportedModel:
    """Keep a converted model under a name, in place of any earlier one of that name.

    Args:
        name: from `recognise_import`.
        found: what it was read from.
        model: as its reader gave it.

    Returns:
        What is noted about it.

    Raises:
        MissingAssetError: the cache cannot be written.
    """
    files = tuple(file.name for file in found.files)
    record = ImportedModel(
        name, found.source.name, model.terms, found.digest, files, READERS_REVISION
    )
    note = _place(name, ".json")
    with writing_in(note.parent):
        note.unlink(missing_ok=True)  # a note is there only beside the model that it is about
        keep_model(record.path, model)
        write_json(note, asdict(record))
    return record


def find_import(name: str) -> ImportedModel | None:
    """What was imported under a name, if anything."""
    try:
        stored = json.loads(_place(name, ".json").read_text(encoding="utf-8"))
        return ImportedModel(**{**stored, "files": tuple(stored["files"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def imported_names() -> tuple[str, ...]:
    """Names under which something was imported."""
    return tuple(sorted(path.stem for path in _place("", "").glob("*.json")))


def _place(name: str, ending: str) -> Path:
    return model_folder() / "imported" / f"{name}{ending}"
