"""Export: a fit's coefficients for other programs, and back with edited curves."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from metatalk.config import Config, load_settings
from metatalk.errors import ConfigError, CurvesError, MissingAssetError
from metatalk.interchange.arkit import write_arkit_csv
from metatalk.interchange.curves import write_csv, write_json
from metatalk.interchange.edits import apply_edits
from metatalk.interchange.gltf import build_glb
from metatalk.interchange.meshes import frame_vertices, person_colours, write_obj
from metatalk.interchange.reading import read_curves
from metatalk.interchange.take import Take, number_shots, regular_index, resample_take
from metatalk.morphable.coefficients import PersonCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.clip_artefacts import places_to_read
from metatalk.stages.face_model import open_face_model
from metatalk.stages.provenance import MARK, own_entry, result_entries, write_result_ledger
from metatalk.stages.sources import (
    CURVES,
    curves_are_no_fit,
    read_artefact,
    require_model_on_record,
)
from metatalk.stages.stage import STAGE_NAMES, Progress, ProgressFactory, silent_progress
from metatalk.stages.terms import face_model_entry
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.clip_places import clip_places
from metatalk.workspace.footage import is_footage, remembered_clips
from metatalk.workspace.ledger import Entry
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import require_apart, require_output

LOG = logging.getLogger(__name__)
ENDINGS = {"csv": ".csv", "json": ".json", "arkit": ".csv", "obj": ".obj", "glb": ".glb",
           "deep3d": ".mat"}  # fmt: skip
FILE = "coefficients.npz"
DIGITS = 6  # of a frame's number in a sequence


@dataclass(frozen=True)
class ExportRequest:
    """What is wanted of a fit."""

    kind: str | None = None  # one of ENDINGS; None: as the output's name ends
    rate: Fraction | None = None  # frames a second; None: the footage's own frames
    target: Path | None = None  # another clip of the actor, driven before; None: the actor's own
    edited: Path | None = None  # curves to put over the fit
    moving: bool = True  # meshes move as the head did; else they stay upright at the origin


@dataclass(frozen=True, eq=False)
class Source:
    """A fit as it leaves: who, what, when, and on which terms."""

    model: MorphableModel
    person: PersonCoefficients
    take: Take
    entries: list[Entry]

    def facts(self) -> dict[str, Any]:
        """What every export says about itself."""
        sources = [entry.name for entry in self.entries if entry.kind == "footage"]
        terms = {f"{entry.kind} {entry.name}": entry.terms for entry in self.entries}
        return {**MARK, "sources": sources, "face_model": self.model.source, "terms": terms}


def export_fit(
    place: Path,
    output: Path,
    request: ExportRequest,
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Write what was fitted to a clip in the form of another program.

    Args:
        place: an actor folder, another folder that holds a `fit/`, or the fit's coefficients.
        output: the file to write; of an OBJ sequence NAME.obj, which becomes NAME.000000.obj
            and so on. `OUTPUT.ledger.json` is written beside it.
        request: what is wanted.
        progress_factory: who is told how far a sequence is.

    Returns:
        What was written: the kind, frames, frames a second, seconds.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    started = time.monotonic()
    kind = choose_kind(output, request.kind)
    root = find_root(place)
    fit = _fit_root(root, request.target)
    taken = [path for path in (request.edited, request.target) if path]
    require_apart(output, STAGE_NAMES, [root])
    require_output(output, [fit / "fit" / FILE, *remembered_clips(root), *taken])
    with ActorFolder(root).lock(shared=True):
        source = open_source(root, fit, request)
    with disk_errors_remedied(output.parent), progress_factory("export") as progress:
        _WRITERS[kind](output, source, request.moving, progress)
        write_result_ledger(output, source.entries)
    index = source.take.index
    return {
        "output": str(output),
        "kind": kind,
        "frames": len(index),
        "fps": float(index.rate),
        "duration_s": index.duration,
        "seconds": time.monotonic() - started,
    }


def choose_kind(output: Path, asked: str | None) -> str:
    """Tell which form is wanted.

    Args:
        output: the file to be written.
        asked: one of `ENDINGS`, or None: by the name's ending; .csv is the full CSV.

    Returns:
        The form.

    Raises:
        ConfigError: no such form, or a name that ends like another one.
    """
    ending = output.suffix.lower()
    if asked is None:
        asked = next((kind for kind, own in ENDINGS.items() if own == ending), None)
        if asked is None:
            known = ", ".join(dict.fromkeys(ENDINGS.values()))
            raise ConfigError(f"{output}: no export is known by this ending", f"use {known}")
    if asked not in ENDINGS:
        raise ConfigError(f"there is no export as {asked!r}", f"use --as {'|'.join(ENDINGS)}")
    if ending != ENDINGS[asked]:
        raise ConfigError(
            f"{output} is not what an export as {asked} is called", f"end it in {ENDINGS[asked]}"
        )
    return asked


def find_root(place: Path) -> Path:
    """Find the folder that holds the fit.

    Args:
        place: that folder, its `fit/`, or the coefficients in it.

    Returns:
        The folder.

    Raises:
        MissingAssetError: there is no fit.
    """
    for root in (place, place.parent, place.parent.parent):
        if (root / "fit").is_dir() and place in (root, root / "fit", root / "fit" / FILE):
            return root
    if place.is_file() and place.suffix.lower() in CURVES:
        raise curves_are_no_fit(place)
    if place.is_file() and place.suffix.lower() == Path(FILE).suffix:
        raise MissingAssetError(
            f"{place}: coefficients alone do not tell when their frames are",
            "give the folder in which ingest/, landmarks/ and fit/ lie; "
            "metatalk fit CLIP --actor DIR makes one",
        )
    raise MissingAssetError(
        f"{place}: holds no fit",
        f"make one: metatalk fit CLIP --actor {place}, or metatalk train CLIP --actor {place}",
    )


def _fit_root(root: Path, target: Path | None) -> Path:
    """The folder of the clip's own fit: the actor's, or that of a clip driven before."""
    if target is None or is_footage(root, target):
        return root
    places = clip_places(ActorFolder(root), target)
    for place in places_to_read(places):  # the same that a drive would take
        if (place / "fit").is_dir():
            return place
    raise MissingAssetError(
        f"{target.name} has not been fitted with this actor",
        f"drive it once: metatalk drive {root} AUDIO --target {target} -o OUT.mp4",
    )


def open_source(root: Path, fit: Path, request: ExportRequest) -> Source:
    """Read a fit, at the times that are wanted and with the edits put over it.

    Args:
        root: the actor folder.
        fit: the folder of the clip's artefacts, the same or one below it.
        request: what is wanted.

    Returns:
        The fit as it is to leave.

    Raises:
        MetatalkError: an artefact is missing, or the edited curves cannot be used.
    """
    folder = ActorFolder(fit)
    person, track, camera = load_coefficients(folder.require("fit") / FILE)
    config = _config_on_record(folder)
    for one in dict.fromkeys((root, fit)):
        require_model_on_record(one, config)
    model = open_face_model(config.fit.face_model, config.landmarks)
    index = read_artefact(load_index, folder.require("ingest") / "frames.npz")
    landmarks = read_artefact(load_landmarks, folder.require("landmarks") / "landmarks.npz")
    shots = landmarks.shots
    take = Take(model.expression_names, track, index, number_shots(shots, len(index)), camera)
    if request.rate is not None:
        take = resample_take(take, regular_index(index.exact_duration, request.rate))
    entries = result_entries(root, request.target)
    if all(entry.kind != "face model" for entry in entries):
        entries.append(face_model_entry(model.source, model.terms))
    if request.edited is not None:
        edits = read_curves(request.edited, model, take.index.rate)
        short = take.index.seconds()[-1] - edits.seconds[-1]
        if short > 1 / take.index.rate:
            LOG.warning("the curves end %.2f s before the clip; their end is held", short)
        take = apply_edits(take, edits)
        entries.append(own_entry("curves", request.edited))
    return Source(model, person, take, entries)


def _config_on_record(folder: ActorFolder) -> Config:
    """Settings with a fit's face model and detector; its others may be another version's."""
    manifest = folder.manifest("fit")
    stored = manifest.cause.settings if manifest else {}
    wanted = {"fit": "face_model", "landmarks": "detector"}
    return load_settings(
        {
            section: {key: stored[section][key]}
            for section, key in wanted.items()
            if key in stored.get(section, {})
        }
    )


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """A name to write under, which becomes the output's once all is written."""
    partial = output.with_name(f".{output.stem}.{os.getpid()}{output.suffix}")
    try:
        yield partial
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _write_csv(output: Path, source: Source, moving: bool, progress: Progress) -> None:
    with _whole(output) as partial:
        write_csv(partial, source.take)


def _write_json(output: Path, source: Source, moving: bool, progress: Progress) -> None:
    with _whole(output) as partial:
        write_json(partial, source.take, source.facts())


def _write_arkit(output: Path, source: Source, moving: bool, progress: Progress) -> None:
    with _whole(output) as partial:
        write_arkit_csv(partial, source.take)


def _write_glb(output: Path, source: Source, moving: bool, progress: Progress) -> None:
    content = build_glb(source.model, source.person, source.take, moving, source.facts())
    with _whole(output) as partial:
        partial.write_bytes(content)


def _write_deep3d(output: Path, source: Source, moving: bool, progress: Progress) -> None:
    try:
        from metatalk.morphable.deep3d import coefficients_to_deep3d, save_deep3d_mat
    except ImportError as error:
        raise MissingAssetError(
            "this installation cannot write Deep3D files", "install metatalk once more"
        ) from error
    take = source.take
    vectors = coefficients_to_deep3d(source.model, source.person, take.track, take.camera)
    with _whole(output) as partial:
        save_deep3d_mat(partial, vectors)


def _write_obj(output: Path, source: Source, moving: bool, progress: Progress) -> None:
    """Write the sequence into a folder of its own first: all of it comes to its place, or none."""
    _refuse_longer_sequence(output, len(source.take))
    triangles = source.model.triangles.numpy()
    colours = person_colours(source.model, source.person)
    notes = [f"{name}: {value}" for name, value in source.facts().items()]
    notes.append("metres; x right, y up, z towards the viewer; RGB behind the coordinates")
    partial = output.with_name(f".{output.stem}.{os.getpid()}")
    try:
        partial.mkdir()
        for frame in range(len(source.take)):
            vertices = frame_vertices(source.model, source.person, source.take, frame, moving)
            path = partial / numbered(output, frame).name
            write_obj(path, vertices, triangles, colours, notes)
            progress(frame + 1, len(source.take))
        for path in sorted(partial.iterdir()):
            path.replace(output.parent / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def numbered(output: Path, frame: int) -> Path:
    """The name of one frame of a sequence.

    >>> numbered(Path("jane.obj"), 12).name
    'jane.000012.obj'
    """
    return output.with_name(f"{output.stem}.{frame:0{DIGITS}d}{output.suffix}")


def _refuse_longer_sequence(output: Path, frames: int) -> None:
    """A longer sequence of before would stay behind the new one and be taken for its end."""
    left = numbered(output, frames)
    if left.exists():
        raise CurvesError(
            f"{left} is left of a longer sequence", "remove that one, or give -o another name"
        )


_WRITERS: dict[str, Callable[[Path, Source, bool, Progress], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "arkit": _write_arkit,
    "obj": _write_obj,
    "glb": _write_glb,
    "deep3d": _write_deep3d,
}
