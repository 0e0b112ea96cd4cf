"""Measure what can be seen of a driven mouth's edge, skin and chin, as a markdown table.

python tools/measure_drive.py ACTOR AUDIO [--target CLIP] [--own] [--frames 100] [--chins 40]
    [--compare key=value] [key=value ...]

Nothing is encoded, and eyes stay as they were filmed. Seams, flicker and grain are measured in the
first frames that have a new mouth, in the mask that any mouth may be laid in, and beyond it where a
jaw is followed: the settings of the seam do not move what is looked at. Chins are measured in the
frames of the whole result whose jaw differs most from the filmed one, against what the actor's
training footage shows at the jaw line; the head's speed over the whole result. --own says that
AUDIO is the footage's own sound: the footage is the truth, and the PSNR in that mask is told.
--compare drives a second time with other settings, in a column of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from metatalk.compose.ahead import one_thread_each, read_ahead
from metatalk.compose.blend import Patch
from metatalk.compose.retiming.by_speech import PAUSE, START, hear_parts
from metatalk.compose.retiming.halfway import retimed_pictures
from metatalk.compose.retiming.head_motion import shown_motion, watch_head
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.revoice import Revoiced, revoice
from metatalk.config import Config, load_config
from metatalk.errors import FittingError, MetatalkError
from metatalk.evaluate.chin import ChinErrors, chin_offsets, jaw_profiles, usual_profiles
from metatalk.evaluate.flicker import FlickerMeter
from metatalk.evaluate.seams import SeamMeter
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.bands import count_cores
from metatalk.render.crops import invert_transforms, to_opencv, warp_to_crop
from metatalk.render.lower_face import solid_mask
from metatalk.render.scene import Scene
from metatalk.render.silhouette import JawLine, trace_jaw
from metatalk.render.texture import look_at, surface_of
from metatalk.stages.actor import actor_config
from metatalk.stages.artefacts import load_crop_plan
from metatalk.stages.drive import MOST_WORKERS, WAITING
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_preparation import Drive, prepare_drive
from metatalk.stages.footage import read_footage
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.footage import find_footage

REAL_CHINS = 60  # real frames that tell what a jaw line usually looks like
Cells = dict[str, str]  # what is measured, and what it is


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    asked = _parser().parse_intermixed_args(words)
    # nothing is written there; an order has to name something
    order = DriveOrder(asked.actor, Path("result.mp4"), asked.audio, asked.target)
    runs = {" ".join(asked.settings) or "default": asked.settings}
    if asked.compare:
        runs[" ".join(asked.compare)] = [*asked.settings, *asked.compare]
    try:
        columns = {name: _measure(order, load_config(words=s), asked) for name, s in runs.items()}
    except MetatalkError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(columns))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("actor", type=Path)
    parser.add_argument("audio", type=Path)
    parser.add_argument("settings", nargs="*", help="key=value, as `metatalk drive` takes them")
    parser.add_argument("--target", type=Path, help="another clip of the actor")
    parser.add_argument("--own", action="store_true", help="AUDIO is the footage's own sound")
    parser.add_argument("--frames", type=int, default=100, help="from the start; 0: none")
    parser.add_argument("--chins", type=int, default=40, help="frames; 0: none")
    parser.add_argument("--compare", action="append", metavar="key=value", help="more than once")
    return parser


def _measure(order: DriveOrder, config: Config, asked: argparse.Namespace) -> Cells:
    """One column."""
    folder = ActorFolder(order.actor)
    with folder.lock(shared=True), tempfile.TemporaryDirectory() as scratch:
        drive = prepare_drive(order, config, Path(scratch))
        drive = replace(drive, performance=replace(drive.performance, eyes=None))
        cells: Cells = {}
        if asked.frames:
            end = first_frames(drive.strength, asked.frames)
            cells |= measure_skin(drive.part(0, end), asked.own)
        if asked.chins:
            cells |= measure_jaws(drive, Reference.of(folder, drive, config), asked.chins)
        return cells | measure_head(drive, config) | _count_filmed(drive)


def first_frames(strength: np.ndarray, wanted: int) -> int:
    """How long a result is until so many of its frames show a whole new mouth."""
    new = np.flatnonzero(strength >= 1)
    return int(new[wanted - 1]) + 1 if len(new) >= wanted else len(strength)


def watch_drive(drive: Drive) -> Iterator[tuple[Picture, Revoiced]]:
    """Draw a result as `metatalk drive` does; each picture before and after, a few at a time."""
    passing: deque[Picture] = deque()

    def noted(pictures: Iterable[Picture]) -> Iterator[Picture]:
        for picture in pictures:
            passing.append(picture)
            yield picture

    footage, workers = drive.footage, min(count_cores(), MOST_WORKERS)
    read = partial(read_pictures_in_order, footage.clip, index=footage.index, native=True)
    with one_thread_each():
        source = read_ahead(noted(retimed_pictures(drive.plan, read)), WAITING)
        for made in revoice(source, drive.performance, drive.studio, workers, drive.first):
            yield passing.popleft(), made


def measure_skin(drive: Drive, own: bool) -> Cells:
    """The edge of the new mouth and its skin, frame by frame.

    Args:
        drive: what is drawn.
        own: whether the footage is the truth.

    Returns:
        The cells.
    """
    seams, flicker, errors = SeamMeter(), FlickerMeter(), list[float]()
    follows = neighbours(drive.plan, drive.footage.landmarks.shots)
    for row, (picture, made) in enumerate(watch_drive(drive)):
        before, after = _rgb(picture), _rgb(made.picture)
        mask = np.zeros(before.shape[:2], bool)
        if drive.strength[row] >= 1:
            mask = covered(made.patches, *mask.shape) | reachable(drive, row, *mask.shape)
        seams.add(before, after, mask)
        flicker.add(before, after, mask, bool(follows[row]))
        if mask.any():
            errors.append(float(np.mean((_unit(before[mask]) - _unit(after[mask])) ** 2)))
    rim, skin = seams.scores(), flicker.scores()
    cells = {
        "frames with a new mouth": f"{rim.frames}",
        "step at the rim, %": f"{100 * rim.step:.3f}",
        "colour difference at the rim, CIEDE2000": f"{rim.delta_e:.3f}",
        "definition at the rim": f"{rim.definition_ratio:.3f}",
        "jump at the edge": f"{rim.jump_ratio:.3f}",
        "flicker of still skin": f"{skin.flicker_ratio:.3f} ({skin.pairs} pairs)",
        "grain of still skin": f"{skin.grain_ratio:.3f}",
    }
    if own and errors:
        cells["PSNR, dB"] = f"{-10 * np.log10(max(float(np.mean(errors)), 1e-12)):.2f}"
    return cells


def neighbours(plan: FramePlan, shots: np.ndarray) -> np.ndarray:
    """(N,) bool: frames that were filmed right after or before the one shown before them."""
    shot = np.searchsorted(shots[:, 0], plan.frames, side="right")
    follows = np.zeros(len(plan), bool)
    follows[1:] = (np.abs(np.diff(plan.frames)) <= 1) & (np.diff(shot) == 0)
    return follows


def covered(patches: Sequence[Patch], height: int, width: int) -> np.ndarray:
    """(H, W) bool: where patches change their picture."""
    mask = np.zeros((height, width), bool)
    for patch in patches:
        part = patch.alpha > 0
        tall, wide = part.shape
        mask[patch.top : patch.top + tall, patch.left : patch.left + wide] |= part
    return mask


def reachable(drive: Drive, row: int, height: int, width: int) -> np.ndarray:
    """(H, W) bool: where any mouth of this head could be laid over a frame of the plan."""
    at = np.array([drive.first + row])
    transforms = drive.performance.transforms[at]
    mask = drive.studio.scene.mask(drive.performance.filmed.take(at), transforms, 1)[0]
    to_frame = to_opencv(invert_transforms(transforms[0]))
    warped: np.ndarray = cv2.warpAffine(mask, to_frame, (width, height))
    return warped > 127


def _rgb(picture: Picture) -> np.ndarray:
    return picture.rgb_float() if picture.bits > 8 else picture.rgb()


def _unit(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1)


@dataclass(frozen=True, eq=False)
class Reference:
    """What an actor's jaw line looks like."""

    usual: np.ndarray  # (K, STEPS), see `usual_profiles`
    face_mm: float  # the face's height

    @classmethod
    def of(cls, folder: ActorFolder, drive: Drive, asked: Config) -> Reference:
        """Learn it from the footage that the actor was trained on."""
        footage = read_footage(folder.root, find_footage(folder.root))
        scene = replace(drive.studio.scene, camera=footage.camera)
        layout = load_crop_plan(folder.path("render") / "crops.json").layout
        steady = actor_config(folder, asked).render.steady_frames
        shots = footage.landmarks.shots
        transforms = scene.transforms(footage.track, layout, steady, shots)
        seen = np.flatnonzero(footage.track.is_trusted.numpy())
        if not len(seen):
            raise FittingError(
                f"{footage.clip}: no frame's fit is to be trusted", "footage that shows a face"
            )
        rows = seen[np.unique(np.linspace(0, len(seen) - 1, REAL_CHINS).round().astype(int))]
        profiles = []
        pictures = read_pictures_in_order(footage.clip, rows.tolist(), footage.index)
        for row, picture in zip(rows, pictures, strict=True):
            one = slice(row, row + 1)
            line, face_px = chin_of(scene, footage.track.take(np.array([row])), transforms[one])
            crop = warp_to_crop(picture.rgb(), transforms[row], scene.size)
            profiles.append(jaw_profiles(crop, line, face_px))
        return cls(usual_profiles(profiles), face_height(scene))


def face_height(scene: Scene) -> float:
    """Millimetres from the highest landmark to the lowest, at rest."""
    model = scene.model
    corners = scene.neutral[model.triangles[model.landmark_triangles]]  # (L, 3, 3)
    places = (corners * model.landmark_weights[..., None]).sum(1)
    return float(places[:, 1].max() - places[:, 1].min())


def chin_of(
    scene: Scene, track: TrackCoefficients, transforms: np.ndarray
) -> tuple[JawLine, float]:
    """The jaw line of (1) a fitted face in its crop, and the face's height there in pixels."""
    triangle = look_at(scene, track, transforms, None, 1, False).seen.triangle[0]
    solid = solid_mask((triangle >= 0) & (triangle < surface_of(scene).shown), 0)
    depth_mm = float(scene.vertices(track)[0, scene.model.regions["lower_face"], 2].mean())
    scale = float(np.sqrt(abs(np.linalg.det(transforms[0, :, :2]))))
    return trace_jaw(solid), face_height(scene) * scene.camera.focal_px / depth_mm * scale


@dataclass(eq=False)
class _Chins:
    """Offsets of some frames' chins, shares of the face's height."""

    reference: Reference
    rows: list[np.ndarray] = field(default_factory=list)

    def add(self, crop: np.ndarray, line: JawLine, face_px: float) -> None:
        profiles = jaw_profiles(crop, line, face_px)
        self.rows.append(chin_offsets(profiles, self.reference.usual))

    def cell(self) -> str:
        if not self.rows:
            return "none"
        height = self.reference.face_mm
        errors = ChinErrors(np.stack(self.rows) * height, height)
        return f"{errors.mean_mm:.2f} ({errors.mean_percent:.2f})"


def measure_jaws(drive: Drive, reference: Reference, count: int) -> Cells:
    """Where chins lie in the frames whose jaw differs most from the filmed one.

    Args:
        drive: what is drawn.
        reference: the actor's.
        count: how many frames; as many more, evenly spread, tell what real frames err by.

    Returns:
        The cells, mm (% of the face's height).
    """
    chosen = jaws_apart(drive, count)
    evenly = np.unique(np.linspace(0, len(drive.plan) - 1, count).round().astype(int))
    strength = np.zeros_like(drive.performance.strength)
    strength[chosen] = 1  # nothing else needs to be drawn
    drive = replace(drive, performance=replace(drive.performance, strength=strength))
    real, filmed, left, new = (_Chins(reference) for _ in range(4))
    some, spread = set(chosen.tolist()), set(evenly.tolist())
    for row, (picture, made) in enumerate(watch_drive(drive)):
        if row not in some | spread:
            continue
        scene, transforms = drive.studio.scene, drive.performance.transforms[row : row + 1]
        track = drive.performance.filmed.take(np.array([row]))
        before = warp_to_crop(picture.rgb(), transforms[0], scene.size)
        line, face_px = chin_of(scene, track, transforms)
        if row in spread:
            real.add(before, line, face_px)
        if row in some:
            filmed.add(before, line, face_px)
            shown = track.with_expression(drive.performance.expression[row : row + 1])
            wanted, face_px = chin_of(scene, shown, transforms)
            left.add(before, wanted, face_px)
            after = warp_to_crop(made.picture.rgb(), transforms[0], scene.size)
            new.add(after, wanted, face_px)
    return {
        "chin: real frames, mm (% of the face's height)": real.cell(),
        f"chin: {len(chosen)} frames as filmed, to their own mesh": filmed.cell(),
        "chin: those as filmed, to the new mesh": left.cell(),
        "chin: those as driven, to the new mesh": new.cell(),
    }


def jaws_apart(drive: Drive, count: int) -> np.ndarray:
    """The frames whose new jaw is the lowest and the highest against the filmed one, half each."""
    opening = drive.studio.scene.model.open_mouth
    other = drive.performance.expression - drive.performance.filmed.expression
    lower = ((other @ opening) / (opening @ opening)).double().numpy()
    usable = drive.performance.strength >= 1
    order = np.argsort(np.where(usable, lower, 0.0), kind="stable")
    rows = np.unique(np.concatenate([order[: count // 2], order[len(order) - count // 2 :]]))
    return rows[usable[rows]]


def measure_head(drive: Drive, config: Config) -> Cells:
    """The shown head's mean speed in pauses and where utterances begin."""
    footage, plan = drive.footage, drive.plan
    rate, seconds = float(footage.index.rate), plan.seconds()
    motion = watch_head(footage.track, footage.camera, footage.landmarks, rate)
    speed = shown_motion(motion, plan, rate).speed
    speaking = drive.hearing.speaking(seconds)
    parts = hear_parts(speaking, seconds, config.drive.retiming)
    cells = {}
    for part, name in ((PAUSE, "in pauses"), (START, "where utterances begin")):
        some = speed[parts == part]
        cell = f"{some.mean():.3f} ({len(some)} frames)" if len(some) else "none"
        cells[f"head {name}, face widths a second"] = cell
    return cells


def _count_filmed(drive: Drive) -> Cells:
    filmed = int((drive.strength == 0).sum())
    return {"frames that keep the filmed mouth": f"{filmed} of {len(drive.plan)}"}


def table(columns: dict[str, Cells]) -> str:
    """A markdown table of one column a run; "-" where a run has no such cell."""
    names = list(dict.fromkeys(name for cells in columns.values() for name in cells))
    lines = [["", *columns], ["---", *["---:"] * len(columns)]]
    lines += [[name, *(cells.get(name, "-") for cells in columns.values())] for name in names]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
