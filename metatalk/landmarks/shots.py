"""Where one shot ends and the next begins: hard cuts, jump cuts among them.

A cut is a change that its neighbours do not explain. Motion changes several pictures in a row,
a flash takes its change back, a caption leaves the face alone, a dropped frame moves the face
along the way it was going; a cut does none of these.
"""

from __future__ import annotations

import cv2
import numpy as np

from metatalk.shapes import check_shape

_SIDE = 48  # pixels of a thumbnail's side
_REACH = 6  # pictures on either side that a change is compared with
_PICTURE_FLOOR = 0.3  # grey levels; changes below are noise of the codec
_FACE_FLOOR = 0.003  # face heights; jumps below are noise of the detector
_CLEAR = 2.6  # times the neighbours' largest change: a cut unless the face disagrees
_SHARED = 4.0  # picture's times face's ratio: a cut seen by both together
_FACE_DISAGREES = 0.7  # the face moved less than its neighbours did
_SCENE = 20.0  # grey levels; another scene, even where two cuts lie close together
_SCENE_RATIO = 8.0  # times the neighbours' median change, for another scene


def make_thumbnail(picture: np.ndarray) -> np.ndarray:
    """Shrink a picture to what the search for cuts needs.

    Args:
        picture: (H, W, 3) uint8 RGB, or (H, W) luma.

    Returns:
        (48, 48) grey levels, uint8, or luma as it came; the proportions are not kept.
    """
    step = max(min(picture.shape[:2]) // (2 * _SIDE), 1)  # enough pixels to average over
    sparse = np.ascontiguousarray(picture[step // 2 :: step, step // 2 :: step])
    grey = sparse if sparse.ndim == 2 else cv2.cvtColor(sparse, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


class ChangeWatch:
    """Says while pictures stream by whether the one just seen is from elsewhere.

    It only decides when a detector forgets its tracks, so it may err on the eager side;
    `find_shots` decides afterwards, knowing what came next.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 2.0  # running mean of the change between pictures, grey levels

    def is_new_scene(self, thumbnail: np.ndarray) -> bool:
        """Compare a thumbnail, (48, 48) uint8, with the one before."""
        grey = thumbnail.astype(np.float32)
        grey -= grey.mean()
        last, self._last = self._last, grey
        if last is None:
            return False
        change = float(np.abs(grey - last).mean())
        is_new = change > max(6.0 * self._usual, 4.0)
        self._usual += 0.1 * (min(change, 3.0 * self._usual + 0.5) - self._usual)
        return is_new


def find_shots(thumbnails: np.ndarray, rigid: np.ndarray, sensitivity: float = 1.0) -> np.ndarray:
    """Find the shots of a clip.

    Args:
        thumbnails: (T, h, w) uint8 grey levels, see `make_thumbnail`.
        rigid: (T, N, 2) points of the largest face that expression does not move, pixels; NaN
            where there is no face.
        sensitivity: 2 finds fainter cuts, 0.5 only clear ones, 0 none.

    Returns:
        (K, 2) int64, first frame and one past the last frame of each shot, in order.
    """
    frames = check_shape("thumbnails", thumbnails, "T h w")["T"]
    check_shape("rigid", rigid, "T N 2", T=frames)
    cuts = np.flatnonzero(_find_cuts(thumbnails, rigid, sensitivity))
    starts = np.concatenate([[0], cuts])
    return np.stack([starts, np.concatenate([cuts, [frames]])], axis=1).astype(np.int64)


def _find_cuts(thumbnails: np.ndarray, rigid: np.ndarray, sensitivity: float) -> np.ndarray:
    """Say for each frame whether a shot begins with it, (T,) bool; never for the first."""
    frames = len(thumbnails)
    if frames < 2 or sensitivity <= 0.0:
        return np.zeros(frames, bool)
    change, lasting = _picture_changes(thumbnails)
    picture_ratio = lasting / (_neighbours(change).max(axis=1) + _PICTURE_FLOOR)
    jump = _unexplained_jumps(rigid)
    known = np.isfinite(jump)
    face_ratio = np.where(known, jump, 0.0)
    face_ratio /= _neighbours(face_ratio).max(axis=1) + _FACE_FLOOR
    usual = np.median(_neighbours(change), axis=1) + _PICTURE_FLOOR

    clear = (picture_ratio * sensitivity > _CLEAR) & (~known | (face_ratio > _FACE_DISAGREES))
    shared = known & (picture_ratio > 1.0) & (picture_ratio * face_ratio * sensitivity > _SHARED)
    scene = (lasting * sensitivity > _SCENE) & (lasting * sensitivity > _SCENE_RATIO * usual)
    cuts = clear | shared | scene
    cuts[0] = False
    return cuts


def _picture_changes(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure each picture's change from the last one, and how much of it stays.

    Returns:
        change: (T,) mean absolute change of grey levels, overall brightness aside.
        lasting: (T,) the least change between either of two before and either of two after.
    """
    here = np.arange(len(thumbnails))
    before = [np.maximum(here - 1, 0), np.maximum(here - 2, 0)]
    after = [here, np.minimum(here + 1, len(thumbnails) - 1)]
    changes = [_mean_change(thumbnails, a, b) for b in before for a in after]
    return changes[0], np.minimum.reduce(changes)


def _mean_change(thumbnails: np.ndarray, after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Average the change from some pictures to others, (T,); in blocks, to spare memory."""
    brightness = thumbnails.mean(axis=(1, 2), dtype=np.float32)[:, None, None]
    changes = np.empty(len(thumbnails), np.float32)
    for start in range(0, len(thumbnails), 1024):
        block = slice(start, start + 1024)
        new, old = after[block], before[block]
        change = thumbnails[new].astype(np.float32) - thumbnails[old]
        change -= brightness[new] - brightness[old]
        changes[block] = np.abs(change).mean(axis=(1, 2))
    return changes


def _neighbours(values: np.ndarray) -> np.ndarray:
    """Gather the values around each frame, itself left out: (T,) -> (T, 2 reach)."""
    padded = np.pad(values, _REACH, mode="reflect" if len(values) > _REACH else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1)
    return np.delete(windows, _REACH, axis=1)


def _unexplained_jumps(rigid: np.ndarray) -> np.ndarray:
    """Measure how far a face jumps aside from where its motion was taking it.

    Args:
        rigid: (T, N, 2) points that the face's expression does not move, pixels.

    Returns:
        (T,) in face sizes; NaN where the face is not seen in both pictures.
    """
    size = np.linalg.norm(rigid.max(axis=1) - rigid.min(axis=1), axis=-1)  # (T,)
    steps = np.full_like(rigid, np.nan)
    steps[1:] = rigid[1:] - rigid[:-1]
    flat = steps.reshape(len(steps), -1)  # (T, 2 N)
    motion = np.zeros_like(flat)
    for offset in (-2, -1, 1, 2):
        motion += np.nan_to_num(_shifted(flat, offset))
    along = (flat * motion).sum(axis=1) / np.maximum((motion**2).sum(axis=1), 1e-6)
    aside = flat - np.clip(along, 0.0, 1.0)[:, None] * motion
    return np.linalg.norm(aside, axis=1) / np.sqrt(rigid.shape[1]) / size


def _shifted(values: np.ndarray, offset: int) -> np.ndarray:
    """Row t of the result is row t + offset, NaN beyond the ends."""
    rows = np.arange(len(values)) + offset
    inside = (rows >= 0) & (rows < len(values))
    return np.where(inside[:, None], values[np.clip(rows, 0, len(values) - 1)], np.nan)
