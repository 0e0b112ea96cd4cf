"""Grades: the colours of a face in each shot of a clip, and how they differ from the actor's."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from metatalk.compose.fallback.surface_grid import SurfaceGrid, build_grid, facing, place_cells
from metatalk.compose.grade import Difference, ShotGrades, grade_shots
from metatalk.compose.grade_skin import FaceColours, read_face, usual_colours
from metatalk.compose.grade_transfer import HLG, PQ, SDR, kind_of_transfer
from metatalk.config import Config
from metatalk.errors import ShapeError, StaleArtefactError
from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.ordered import read_pictures_in_order
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.artefacts import load_index, load_landmarks, open_crops
from metatalk.stages.clip_artefacts import bring_up_to_date
from metatalk.stages.face_model import open_face_model
from metatalk.stages.footage import Footage, sources_of
from metatalk.stages.stage import Progress, ProgressFactory, Stage, silent_progress
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.clip_places import clip_places
from metatalk.workspace.manifest import Metrics

LOG = logging.getLogger(__name__)
FILE = "colours.npz"
REAL = "real.npy"  # the crops of a trained actor's footage
REMADE_WITH = frozenset({"all", "ingest", "landmarks", "fit", "occlusion", "grades"})
MOST_FRAMES = 96  # of a clip that are looked at, about; FEWEST of every shot at least
FEWEST, MOST = 3, 24  # of a shot
_NAMES = {SDR: "ordinary", PQ: "PQ", HLG: "HLG"}


def compute(
    inputs: Mapping[str, Path],
    config: FitConfig,
    out: Path,
    progress: Progress,
    *,
    landmarks: LandmarksConfig,
) -> Metrics:
    """Look at some frames of every shot."""
    person, track, camera = load_coefficients(inputs["fit"] / "coefficients.npz")
    shots = load_landmarks(inputs["landmarks"] / "landmarks.npz").shots
    index = load_index(inputs["ingest"] / "frames.npz")
    grid = build_grid(open_face_model(config.face_model, landmarks), person)
    chosen = _choose_frames(shots, track.is_trusted.numpy())
    wanted = [int(frame) for frames in chosen for frame in frames]
    pictures = read_pictures_in_order(inputs["clip"], wanted, index)
    found, done = [], 0
    for frames in chosen:
        faces = []
        for frame in frames:
            picture = next(pictures)
            cells, normals = _place(grid, track, camera, int(frame))
            box = _box(cells, picture.width, picture.height)
            if box is not None:
                moved: np.ndarray = cells - np.array(box[:2], np.float32)
                faces.append(read_face(picture.rgb(box), moved, normals, grid.lower))
            done += 1
            progress(done, len(wanted))
        found.append(_on_grid(grid, faces))
    colours, dark = (
        np.stack([getattr(one, name) for one in found]) for name in ("colours", "dark")
    )
    np.savez(out / FILE, shots=shots, colours=colours, dark=dark)
    return {"shots_seen": int(sum(one.is_seen.any() for one in found))}


GRADES = Stage(
    "grades",
    reads=("clip", "ingest", "landmarks", "fit", "face_model"),
    revision=1,
    compute=compute,
    section="fit",
    also=("landmarks",),
)


def open_grades(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    model: MorphableModel,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
) -> ShotGrades | None:
    """Find which shots of a clip are in another grade than the actor's, and tell it.

    The clip's part is measured once and kept with its other artefacts. The actor's is read off
    the crops that the renderer was trained on, which every trained actor has.

    Args:
        folder: the actor, trained.
        footage: the clip that is shown.
        config: the actor's settings.
        model: the face model.
        rerun: names of stages to compute again; with the clip's others this one comes anew, too.
        progress_factory: who is told how far it is.

    Returns:
        The shots' grades; None where all of them are the actor's own, as those of the training
        clip always are.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    if not config.drive.grade.enabled or footage.root == folder.root:
        return None
    if not (folder.path("render") / REAL).is_file():  # nothing to compare with
        return None
    sources = sources_of(footage, config, "ingest", "landmarks", "fit")
    places, anew = clip_places(folder, footage.clip), frozenset({GRADES.name})
    again = anew if rerun & REMADE_WITH else frozenset[str]()
    try:
        root = bring_up_to_date([GRADES], places, sources, config, again, progress_factory)
    except StaleArtefactError:  # it costs seconds: nobody need ask for it
        root = bring_up_to_date([GRADES], places, sources, config, anew, progress_factory)
    shots, seen = load_colours(ActorFolder(root).path(GRADES.name) / FILE)
    transfers = read_transfer(ActorFolder(footage.root)), read_transfer(folder)
    actor = read_actor(folder, model)
    grades, told = grade_shots(shots, seen, actor, transfers, config.drive.grade)
    if told:
        _tell(told, len(seen), footage.clip.name, transfers)
    return grades


def read_actor(folder: ActorFolder, model: MorphableModel) -> FaceColours:
    """Read an actor's usual colours off the crops that the renderer was trained on.

    Args:
        folder: the actor, trained.
        model: the face model.

    Returns:
        The colours.
    """
    person, track, camera = load_coefficients(folder.path("fit") / "coefficients.npz")
    with np.load(folder.path("render") / "frames.npz", allow_pickle=False) as stored:
        frames, transforms = stored["frames"], stored["transforms"]
    crops = open_crops(folder.path("render")).real
    grid = build_grid(model, person)
    rows = np.unique(np.linspace(0, len(crops) - 1, MOST).astype(int))
    faces = []
    for row in rows:
        frame = int(frames[row])
        cells, normals = _place(grid, track, camera, frame)
        moved = cv2.transform(cells[None], transforms[frame])[0].astype(np.float32)
        faces.append(read_face(np.asarray(crops[row]), moved, normals, grid.lower))
    return _on_grid(grid, faces)


def read_transfer(folder: ActorFolder) -> int:
    """The transfer of a clip that was taken apart: SDR, PQ or HLG."""
    path = folder.path("ingest") / "video.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return kind_of_transfer(int(facts["colour"]["transfer"]))
    except (OSError, ValueError, KeyError, TypeError):  # of an older version, which kept none
        return SDR


def load_colours(path: Path) -> tuple[np.ndarray, list[FaceColours]]:
    """Read what the stage wrote: (N, 2) shots, and what each of them shows.

    Raises:
        StaleArtefactError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            seen = zip(stored["colours"], stored["dark"], strict=True)
            return stored["shots"], [FaceColours(*one) for one in seen]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, ShapeError) as error:
        raise StaleArtefactError(
            f"{path} cannot be read: {error}", f"make it anew: --rerun {GRADES.name}"
        ) from error


def _tell(found: list[Difference], shots: int, clip: str, transfers: tuple[int, int]) -> None:
    """Say it once a clip, with the numbers of its farthest shot."""
    most = max(found, key=lambda one: abs(np.log(max(one.contrast, 1e-3))) + abs(one.brightness))
    where = "" if shots == 1 else f" in {len(found)} of {shots} shots"
    codes = ""
    if transfers[0] != transfers[1]:
        codes = f", codes {_NAMES[transfers[0]]} for {_NAMES[transfers[1]]}"
    LOG.warning(
        "%s is graded otherwise than the actor's training clip%s: skin has %.2f times its "
        "contrast and %.2f times its saturation, brightness %+.2f, tint %.2f%s; the mouth is "
        "drawn in the actor's colours and brought to these",
        clip,
        where,
        most.contrast,
        most.saturation,
        most.brightness,
        most.colour,
        codes,
    )


def _choose_frames(shots: np.ndarray, usable: np.ndarray) -> list[np.ndarray]:
    """Frames of each shot to look at, evenly among those whose face can be trusted."""
    each = int(np.clip(MOST_FRAMES // max(len(shots), 1), FEWEST, MOST))
    chosen = []
    for first, end in shots:
        frames = first + np.flatnonzero(usable[first:end])
        places = np.unique(np.linspace(0, max(len(frames) - 1, 0), each).astype(int))
        chosen.append(frames[places] if len(frames) else frames)
    return chosen


def _place(
    grid: SurfaceGrid, track: TrackCoefficients, camera: Camera, frame: int
) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) px of the frame, and (K, 3) normals, of the face's places."""
    one = track.take(np.array([frame]))
    return place_cells(grid, one, camera)[0], facing(grid, one)[0]


def _box(cells: np.ndarray, width: int, height: int) -> tuple[int, int, int, int] | None:
    """What of a frame holds the face; None: nothing."""
    left, top = np.floor(cells.min(0)).astype(int) - 2
    right, bottom = np.ceil(cells.max(0)).astype(int) + 2
    box = max(int(left), 0), max(int(top), 0), min(int(right), width), min(int(bottom), height)
    return box if box[2] - box[0] > 4 and box[3] - box[1] > 4 else None


def _on_grid(grid: SurfaceGrid, faces: list[FaceColours]) -> FaceColours:
    """The usual colours by the grid's squares, which are the same for any fit of the person."""
    colours = np.full((grid.side**2, 3), np.nan, np.float32)
    if not faces:
        return FaceColours(colours, colours[0])
    usual = usual_colours(faces)
    colours[grid.places] = usual.colours
    return FaceColours(colours, usual.dark)
