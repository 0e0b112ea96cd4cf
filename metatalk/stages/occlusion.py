"""Occlusion: what of a clip's face is hidden, frame by frame, measured once for all drives."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from metatalk.compose.fallback.caption_watch import CaptionWatch
from metatalk.compose.fallback.face_watch import FaceWatch
from metatalk.compose.fallback.foreground_masks import Foreground, foreground_from_arrays
from metatalk.compose.fallback.foreground_watch import FINE_SIDE, ForegroundWatch
from metatalk.compose.fallback.occlusion import (
    BATCH,
    MOST_FRAMES,
    Hidden,
    learn_usual,
    measure_strangeness,
)
from metatalk.compose.fallback.surface_grid import (
    SurfaceGrid,
    build_grid,
    facing,
    place_cells,
    place_painted,
)
from metatalk.config import Config
from metatalk.errors import ShapeError, StaleArtefactError
from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.hands import HandFinder
from metatalk.media.video import read_pictures
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.stages.artefacts import load_landmarks, make_array
from metatalk.stages.clip_artefacts import bring_up_to_date, places_to_read
from metatalk.stages.face_model import open_face_model
from metatalk.stages.footage import Footage, sources_of
from metatalk.stages.stage import (
    Progress,
    ProgressFactory,
    Stage,
    silent_progress,
)
from metatalk.workspace.actor import ActorFolder, can_be_written
from metatalk.workspace.clip_places import ClipPlaces, clip_places
from metatalk.workspace.manifest import Metrics

FILE, STANDING = "hidden.npz", "standing.npz"
REMADE_WITH = frozenset({"all", "ingest", "landmarks", "fit", "occlusion"})
LEAST_BARE = 0.05  # of the lower face, beside what stands before it
INSIDE, UNDER_HAND = 1, 2  # bits of what is noted of a cell
Found = TypeVar("Found")


def compute(
    inputs: Mapping[str, Path],
    config: FitConfig,
    out: Path,
    progress: Progress,
    *,
    landmarks: LandmarksConfig,
) -> Metrics:
    """Look at every frame once, then compare each with what is usual in the clip.

    What the cells show lies in a scratch file meanwhile: memory does not grow with the clip. It
    lies in the partial folder, which the next run clears if this one is killed.
    """
    person, track, camera = load_coefficients(inputs["fit"] / "coefficients.npz")
    shots = load_landmarks(inputs["landmarks"] / "landmarks.npz").shots
    model = open_face_model(config.face_model, landmarks)
    grid = build_grid(model, person)
    standing = ForegroundWatch(build_grid(model, person, FINE_SIDE), track, camera, shots)
    captions = CaptionWatch(grid, track, camera)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        shape = (len(track), len(grid))
        colours = make_array(Path(scratch) / "colours.npy", (*shape, 3))
        notes = make_array(Path(scratch) / "notes.npy", shape)
        shares, edges = np.zeros(len(track), np.float32), np.zeros((len(track), 8), np.float32)
        written = colours, notes, shares, edges
        others = standing, captions
        seen = _watch(inputs["clip"], grid, track, camera, shots, written, others, progress)
        found = standing.finish()
        apart = _set_apart(grid, track, camera, found, notes)
        hidden = _compare(grid, track, seen, colours, notes, shares, edges, apart)
    np.savez(out / FILE, **vars(hidden))
    # A caption over the mouth keeps it as filmed: its cells are not set apart.
    whole = captions.finish(found)
    np.savez_compressed(out / STANDING, **whole.to_arrays())
    return {
        "hand_frames": int((hidden.hand_share > 0).sum()),
        "most_covered": float(hidden.strange_blob.max(initial=0.0)),
        "standing_shots": sum(mask.size > 0 for mask in found.masks),
        "caption_parts": len(whole.shots) - len(found.shots),  # that captions split off
    }


def _watch(
    clip: Path,
    grid: SurfaceGrid,
    track: TrackCoefficients,
    camera: Camera,
    shots: np.ndarray,
    written: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    others: tuple[ForegroundWatch, CaptionWatch],
    progress: Progress,
) -> np.ndarray:
    """Fill the arrays of T frames; (T,) bool: those that were looked at."""
    colours, notes, shares, edges = written
    standing, captions = others
    starts, seen = set(shots[:, 0].tolist()), np.zeros(len(track), bool)
    has_face = track.has_face.numpy()
    with HandFinder() as hands:
        watch = FaceWatch(hands)
        for picture in read_pictures(clip):
            frame = picture.index
            if frame >= len(track):
                break
            if frame in starts:
                watch.reset()
            standing.look(picture, frame)
            cells = None
            if has_face[frame]:
                one = track.take(np.array([frame]))
                cells = place_cells(grid, one, camera)[0]
                glimpse = watch.look(picture, cells, place_painted(grid, one, camera)[0])
                colours[frame], shares[frame] = glimpse.colours, glimpse.hand_share
                notes[frame] = INSIDE * glimpse.inside + UNDER_HAND * glimpse.under_hand
                edges[frame], seen[frame] = glimpse.edges, True
            captions.look(picture, frame, cells, frame in starts)
            progress(frame + 1, len(track))
    return seen


def _compare(
    grid: SurfaceGrid,
    track: TrackCoefficients,
    seen: np.ndarray,
    colours: np.ndarray,
    notes: np.ndarray,
    shares: np.ndarray,
    edges: np.ndarray,
    apart: np.ndarray,
) -> Hidden:
    trusted = np.flatnonzero(seen & track.is_trusted.numpy())
    frames = trusted if len(trusted) else np.flatnonzero(seen)
    if not len(frames):
        nothing = np.zeros(len(track), np.float32)
        return Hidden(nothing, nothing, nothing, nothing, nothing, edges, seen, nothing, nothing)
    some = frames[np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).astype(int))]
    inside = notes[some] & INSIDE > 0
    usual = learn_usual(colours[some], facing(grid, track.take(some)), inside, grid)
    found = measure_strangeness(_batches(grid, track, colours, notes), grid, usual)
    return Hidden(
        shares,
        found.hand_away,
        found.share,
        found.blob,
        # What is behind a standing thing is not turned away.
        found.seen / np.maximum(1 - apart, LEAST_BARE),
        edges,
        seen,
        found.level,
        found.clipped,
    )


def _set_apart(
    grid: SurfaceGrid,
    track: TrackCoefficients,
    camera: Camera,
    standing: Foreground,
    notes: np.ndarray,
) -> np.ndarray:
    """Note cells behind what stands before the face all the while as not seen.

    Returns:
        (T,) float32: the share of the lower face's area that is behind it.
    """
    area = grid.area * grid.lower
    apart = np.zeros(len(track), np.float32)
    for frame in np.flatnonzero(track.has_face.numpy()).tolist():
        if standing.stands_in(frame):
            places = place_cells(grid, track.take(np.array([frame])), camera)[0]
            covered = standing.covers(frame, places)
            notes[frame, covered] &= UNDER_HAND
            apart[frame] = area[covered].sum() / max(float(area.sum()), 1e-6)
    return apart


def _batches(
    grid: SurfaceGrid, track: TrackCoefficients, colours: np.ndarray, notes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Colours, normals, what is inside the frame and what lies under a hand, some frames each."""
    for first in range(0, len(track), BATCH):
        rows = slice(first, min(first + BATCH, len(track)))
        normals = facing(grid, track.take(np.arange(rows.start, rows.stop)))
        noted = notes[rows]
        yield colours[rows], normals, noted & INSIDE > 0, noted & UNDER_HAND > 0


OCCLUSION = Stage(
    "occlusion",
    reads=("clip", "landmarks", "fit", "face_model"),
    revision=4,
    compute=compute,
    section="fit",
    also=("landmarks",),
)


def open_hidden(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
) -> Hidden:
    """Measure what hides the face in a clip that was taken apart, or find it measured already.

    The artefact lies with the clip's others, and the training clip's beside those of other
    clips: an actor's own stages neither read it nor go stale by it. Where the actor's folder
    cannot be written it lies in the user's cache.

    Args:
        folder: the actor.
        footage: the clip, the training clip or another; see `open_footage`.
        config: the actor's settings.
        rerun: names of stages to compute again; with the clip's others this one comes anew, too.
        progress_factory: who is told how far it is.

    Returns:
        What was measured.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    sources = sources_of(footage, config, "landmarks", "fit")
    places = clip_places(folder, footage.clip)
    remade = rerun & REMADE_WITH or _is_older(places)
    again = frozenset({OCCLUSION.name}) if remade else frozenset()
    root = bring_up_to_date([OCCLUSION], places, sources, config, again, progress_factory)
    return load_hidden(ActorFolder(root).path(OCCLUSION.name) / FILE)


def _is_older(places: ClipPlaces) -> bool:
    """Whether a clip was measured by an older version: another look costs nothing but time."""
    root = places.own if can_be_written(places.own) else places.aside
    made = ActorFolder(root).manifest(OCCLUSION.name)
    return made is not None and made.cause.revision < OCCLUSION.revision


def open_standing(folder: ActorFolder, footage: Footage) -> Foreground:
    """Read what stays as filmed beside a new mouth, where `open_hidden` has just measured it.

    Args:
        folder: the actor.
        footage: the clip.

    Returns:
        What stands before the face for a whole shot, and captions; false: nothing.

    Raises:
        StaleArtefactError: the file is damaged.
    """
    for root in places_to_read(clip_places(folder, footage.clip)):
        if _is_of(ActorFolder(footage.root), ActorFolder(root)):
            return load_standing(ActorFolder(root).path(OCCLUSION.name) / STANDING)
    raise StaleArtefactError(
        f"what hides the face in {footage.clip.name} is not measured any more",
        f"make it anew: --rerun {OCCLUSION.name}",
    )


def find_hidden(folder: ActorFolder, footage: Footage) -> Hidden | None:
    """Find what was measured of this very fit of a clip by an earlier drive.

    Args:
        folder: the actor.
        footage: the clip.

    Returns:
        What was measured; None where nothing was, or what was cannot be read.
    """
    return _find(folder, footage, FILE, load_hidden)


def find_standing(folder: ActorFolder, footage: Footage) -> Foreground | None:
    """The same for what stands before the face for a whole shot, and captions."""
    return _find(folder, footage, STANDING, load_standing)


def _find(
    folder: ActorFolder, footage: Footage, name: str, load: Callable[[Path], Found]
) -> Found | None:
    if not footage.clip.is_file():
        return None
    places = clip_places(folder, footage.clip)
    for root in (places.aside, places.own):
        try:
            if _is_of(ActorFolder(footage.root), ActorFolder(root)):
                return load(ActorFolder(root).path(OCCLUSION.name) / name)
        except (OSError, StaleArtefactError):  # damaged, or not ours to read
            continue
    return None


def _is_of(fitted: ActorFolder, measured: ActorFolder) -> bool:
    """Whether what was measured is about this very fit, and by this version."""
    made = measured.manifest(OCCLUSION.name)
    if made is None or made.cause.revision != OCCLUSION.revision:
        return False
    wanted = {name: fitted.manifest(name) for name in ("landmarks", "fit")}
    return all(now and made.cause.inputs.get(name) == now.outputs for name, now in wanted.items())


def load_standing(path: Path) -> Foreground:
    """Read what stands before the face and captions, as the stage wrote them.

    Raises:
        StaleArtefactError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return foreground_from_arrays({name: stored[name] for name in stored.files})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, ShapeError) as error:
        raise StaleArtefactError(
            f"{path} cannot be read: {error}", f"make it anew: --rerun {OCCLUSION.name}"
        ) from error


def load_hidden(path: Path) -> Hidden:
    """Read what the stage wrote.

    Raises:
        StaleArtefactError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Hidden(**{name: stored[name] for name in stored.files})
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, ShapeError) as error:
        raise StaleArtefactError(
            f"{path} cannot be read: {error}", f"make it anew: --rerun {OCCLUSION.name}"
        ) from error
