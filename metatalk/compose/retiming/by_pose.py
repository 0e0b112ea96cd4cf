"""Footage frames whose own mouth is near the wanted one, put together so that nobody sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from metatalk.compose.retiming.by_speech import (
    START,
    Source,
    frame_costs,
    hear_parts,
    plan_by_speech,
    step_costs,
    usual_speed,
    widen_in_shots,
)
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.jumps import find_jumps
from metatalk.compose.retiming.moments import bridge_jumps
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.retiming.variety import spread_starts
from metatalk.compose.retiming.walk import NodeCosts, find_walk
from metatalk.landmarks.shots import make_thumbnail
from metatalk.media.colour import ycc_scales
from metatalk.media.picture import Picture
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape
from metatalk.timing import true_runs

# What one just sees across a morph of a few frames
_PLACE = 0.04  # face widths
_UPPER = 0.3  # units of brows, eyes and gaze, together
_LIDS = 0.5  # share of a blink
_SCENE = 8.0  # grey levels of a thumbnail, root mean square
_SCENE_SIDE = 16  # pixels of a thumbnail


@dataclass(frozen=True, eq=False)
class Mouths:
    """Wanted and filmed mouths in the same terms; Euclidean distances are told."""

    wanted: np.ndarray  # (N, M)
    filmed: np.ndarray  # (T, M)

    def __post_init__(self) -> None:
        sizes = check_shape("wanted", self.wanted, "N M")
        check_shape("filmed", self.filmed, "T M", M=sizes["M"])


def plan_by_pose(
    clock: FramePlan,
    speaking: np.ndarray,
    source: Source,
    mouths: Mouths,
    looks: np.ndarray,
    config: RetimingConfig,
    avoid: np.ndarray | None = None,
    start: int | None = None,
) -> FramePlan:
    """Choose footage frames by the mouth that they show, and by what is heard.

    The footage runs forwards or backwards and jumps, within one shot, to where it looks alike.
    A jump is spread over a few frames that are morphed from the one strand to the other.

    Args:
        clock: N frames and when they are shown; which ones it shows does not matter.
        speaking: (N,) bool: somebody is heard.
        source: the footage.
        mouths: N wanted ones, T filmed ones.
        looks: (T, F) all else in the pictures; at a distance of 1 one sees a jump.
        config: what it all costs.
        avoid: (T,) what showing a frame costs besides.
        start: footage frame of the result's first; None: any.

    Returns:
        The plan.

    Raises:
        ShapeError: an array has another length than it should have.

    Source: Song, Wu, Qian, He & Loy 2020. Departs: mouths are compared on the mesh;
        jumps are free to go anywhere but cost what one sees of them.
    """
    check_shape("speaking", speaking, "N", N=len(clock))
    check_shape("looks", looks, "T F", T=len(source))
    check_shape("wanted", mouths.wanted, "N M", N=len(clock))
    check_shape("filmed", mouths.filmed, "T M", T=len(source))
    if (source.shots[:, 1] - source.shots[:, 0]).max() < 2:
        return plan_by_speech(clock, speaking, source, config, avoid, start)
    table = frame_costs(source, config, avoid)
    heard = hear_parts(speaking, clock.seconds(), config)
    node = _mouth_costs(mouths, source.is_trusted, config.mouth, table, heard)
    run = max(round(config.run_s * source.rate), config.bridge)
    jumps = find_jumps(looks, source.shots, run, config, jump_costs(source, config))
    steps = step_costs(source, config, jumps)
    review = spread_starts(true_runs(heard == START), len(source), config.variety)
    frames, _ = find_walk(len(clock), node, steps, run, start, review)
    towards, share = bridge_jumps(frames, source.shots, config.bridge)
    return replace(clock, frames=frames, towards=towards, share=share)


def jump_costs(source: Source, config: RetimingConfig) -> np.ndarray:
    """What a jump costs at each of its ends, whatever is at the other.

    A fast head would have to go on as fast there, and the same way. A blink that is morphed with
    open eyes shows both lids, so that none may come under the bridge.

    Args:
        source: the footage, T frames.
        config: the weights.

    Returns:
        (T,) costs.
    """
    lids = widen_in_shots(source.motion.blink, source.shots, 2 * (config.bridge // 2) + 3)
    costs = config.turn * usual_speed(source) ** 2 / 2 + config.picture * (lids / _LIDS) ** 2
    return np.asarray(costs)


def _mouth_costs(
    mouths: Mouths, is_trusted: np.ndarray, weight: float, table: np.ndarray, heard: np.ndarray
) -> NodeCosts:
    """What showing a frame costs: by what is heard, and its mouth's squared distance.

    One product of matrices gives all of it, for it is asked of all pairs of frames, twice.
    """
    some = mouths.filmed[is_trusted] if is_trusted.any() else mouths.filmed[:1]
    middle, spread = some.mean(0), 2 * float(some.var(0).sum())
    scale = np.sqrt(weight / spread) if spread > 1e-9 else 0.0  # else there is nothing to choose
    # About the middle: squares of large numbers would leave single precision little to tell.
    filmed, wanted = scale * (mouths.filmed - middle), scale * (mouths.wanted - middle)
    right = np.concatenate([-2 * filmed.T, (filmed**2).sum(1)[None], table]).astype(np.float32)
    said = np.eye(len(table))[heard]
    left = np.column_stack([wanted, np.ones(len(wanted)), said]).astype(np.float32)
    own = (wanted**2).sum(1).astype(np.float32)
    return lambda first, end: left[first:end] @ right + own[first:end, None]


def mouth_features(model: MorphableModel, expression: np.ndarray) -> np.ndarray:
    """Bring expressions into terms whose distances are those of the lower face's skin.

    Args:
        model: the face model.
        expression: (N, E).

    Returns:
        (N, M) millimetres: Euclidean distances are the root mean square of the way that the
        vertices of the lower face go, moved by what speech drives.

    Raises:
        ShapeError: the expressions are not the model's.
    """
    check_shape("expression", expression, "N E", E=len(model.expression_names))
    lower = model.lower_units
    places = model.expression_basis[lower][:, model.regions["lower_face"]].double().flatten(1)
    gram = (places @ places.T / max(places.shape[1] / 3, 1.0)).numpy()
    values, vectors = np.linalg.eigh(gram)
    return np.asarray(expression[:, lower.numpy()] @ (vectors * np.sqrt(values.clip(0))))


def find_looks(
    places: np.ndarray, blink: np.ndarray, upper: np.ndarray, scene: np.ndarray | None = None
) -> np.ndarray:
    """Put together what makes a jump between two frames visible.

    Args:
        places: (T, P) x and y of points of the head, face widths.
        blink: (T,) how far the eyes are shut, 0 to 1.
        upper: (T, U) units of the upper face.
        scene: (T, S) thumbnails, see `watch_scene`.

    Returns:
        (T, F) features; frames at a distance below 1 look alike.
    """
    parts = [places / (_PLACE * np.sqrt(places.shape[1] / 2)), blink[:, None] / _LIDS]
    parts += [upper / _UPPER]
    if scene is not None:
        parts += [scene / (_SCENE * np.sqrt(scene.shape[1]))]
    # Frames without a face have no numbers that mean anything; the walk keeps away from them.
    return np.nan_to_num(np.concatenate(parts, axis=1), posinf=1e6, neginf=-1e6)


def watch_scene(pictures: Iterable[Picture]) -> np.ndarray:
    """Shrink every picture to what shows hands, shoulders and background.

    Args:
        pictures: T of them.

    Returns:
        (T, S) uint8 grey levels.
    """
    return np.stack([_shrink(picture) for picture in pictures])


def _shrink(picture: Picture) -> np.ndarray:
    """(S,) uint8; of luma alone: making RGB of all of a picture costs as much as decoding it."""
    black, span, _ = ycc_scales(picture.colour.full_range, picture.bits)
    side = (_SCENE_SIDE, _SCENE_SIDE)
    luma = cv2.resize(make_thumbnail(picture.planes[0]), side, interpolation=cv2.INTER_AREA)
    levels = (luma.astype(np.float32) - black) * (255 / span)
    return np.rint(levels.clip(0, 255)).astype(np.uint8).ravel()
