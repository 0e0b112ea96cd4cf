"""The default detector: mediapipe's face mesh, 478 points, models inside its wheel."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from metatalk.errors import MissingAssetError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Face

_log = logging.getLogger(__name__)

_CENSUS_EVERY = 25  # pictures between two counts of the faces in the whole picture
_SEARCH_EVERY = 5  # pictures between two searches for a small face, while there is none
_EAGER_SEARCHES = 2  # searches in the first pictures after a loss, before sparing them
_WINDOW_SCALE = 3.0  # side of the window around a small face, in widths of that face
_WINDOW_SIDE = 320  # pixels to which a smaller window is enlarged
_TILE = 0.4  # side of a search tile, as a share of the picture's longer side

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class MediapipeDetector:
    """Face mesh in video mode: a face once found is tracked, not searched again.

    Looking for further faces costs as much as half a detection, so a cheap count of the
    faces once a second decides how many the mesh looks for. A face too small for the mesh's
    own detector is found by a long-range one, in the whole picture and in overlapping tiles,
    and then tracked inside an enlarged window that stays where it is.
    """

    layout = "mediapipe478"

    def __init__(self, config: LandmarksConfig) -> None:
        self._config = config
        self._meshes = _Meshes(config.min_confidence)
        self._finders = _Finders(config.min_confidence)
        self.reset()

    def detect(self, picture: np.ndarray) -> list[Face]:
        """Find the faces in an RGB picture, (H, W, 3) uint8; the largest comes first."""
        picture = np.ascontiguousarray(picture)
        faces = self._detect_in_window(picture) if self._window else self._detect_whole(picture)
        self._since_census += 1
        if faces:
            self._misses = 0
            return sorted(faces, key=lambda face: face.area, reverse=True)
        return self._search(picture)

    def reset(self) -> None:
        """Forget what earlier pictures showed: the next one is from elsewhere."""
        self._meshes.reset()
        self._window: Box | None = None
        self._count = 1
        self._since_census = _CENSUS_EVERY
        self._misses = 0

    def _detect_whole(self, picture: np.ndarray) -> list[Face]:
        self._take_census(picture)
        return self._meshes.detect(picture, self._count)

    def _take_census(self, picture: np.ndarray) -> None:
        if self._config.max_faces == 1 or self._since_census < _CENSUS_EVERY:
            return
        self._since_census = 0
        found = self._finders.near(picture)
        self._count = int(np.clip(len(found), 1, self._config.max_faces))

    def _detect_in_window(self, picture: np.ndarray) -> list[Face]:
        assert self._window is not None
        faces = _detect_inside(self._meshes, picture, self._window)
        if faces and _is_central(faces[0], self._window) and self._since_census < _CENSUS_EVERY:
            return faces
        # The face nears the window's edge or a second has gone by: look at everything again.
        self._window, self._since_census = None, _CENSUS_EVERY
        self._meshes.reset()
        return self._detect_whole(picture) or faces

    def _search(self, picture: np.ndarray) -> list[Face]:
        self._misses += 1
        if self._misses > _EAGER_SEARCHES and self._misses % _SEARCH_EVERY:
            return []
        for box in self._finders.search(picture):
            window = _window_around(box, picture.shape[1], picture.shape[0])
            self._meshes.reset()
            faces = _detect_inside(self._meshes, picture, window)
            if faces:
                self._window, self._misses = window, 0
                return faces
        self._meshes.reset()
        return []


class _Meshes:
    """Face meshes by the number of faces they look for, made when first needed."""

    def __init__(self, min_confidence: float) -> None:
        self._min_confidence = min_confidence
        self._meshes: dict[int, Any] = {}
        self._current = 0
        self._stale = False  # true when the mesh in use must forget its tracks
        self._talkative = True  # until the native code has said all that it says at a start

    def detect(self, picture: np.ndarray, count: int) -> list[Face]:
        """Find up to `count` faces; points in pixels of the picture."""
        self._talkative |= self._stale or count != self._current
        with native_messages_to_log() if self._talkative else contextlib.nullcontext():
            found = self._ready_mesh(count).process(picture).multi_face_landmarks or []
        self._talkative = self._talkative and not found
        height, width = picture.shape[:2]
        scale = np.array([width, height, width], np.float32)
        return [Face(_to_array(one.landmark) * scale, 1.0) for one in found]

    def reset(self) -> None:
        """Drop all tracks before the next picture."""
        self._stale = True

    def _ready_mesh(self, count: int) -> Any:
        if count not in self._meshes:
            self._meshes[count] = _open_mesh(count, self._min_confidence)
        elif self._stale or count != self._current:
            self._meshes[count].reset()
        self._current, self._stale = count, False
        return self._meshes[count]


class _Finders:
    """Face detectors without landmarks: near for counting, far for searching."""

    def __init__(self, min_confidence: float) -> None:
        self._min_confidence = min_confidence
        self._finders: dict[int, Any] = {}

    def near(self, picture: np.ndarray) -> list[Box]:
        """Boxes of the faces that fill a good part of the picture."""
        return self._find(picture, model=0)

    def search(self, picture: np.ndarray) -> Iterator[Box]:
        """Boxes of small faces, those of the whole picture before those of its tiles."""
        yield from sorted(self._find(picture, model=1), key=_box_area, reverse=True)
        found: list[Box] = []
        for left, top, right, bottom in _tiles(picture.shape[1], picture.shape[0]):
            tile = np.ascontiguousarray(picture[top:bottom, left:right])
            for model in (1, 0):
                found += [_shift(box, left, top) for box in self._find(tile, model)]
        yield from sorted(found, key=_box_area, reverse=True)

    def _find(self, picture: np.ndarray, model: int) -> list[Box]:
        talkative = model not in self._finders
        with native_messages_to_log() if talkative else contextlib.nullcontext():
            if talkative:
                self._finders[model] = _open_finder(model, self._min_confidence)
            found = self._finders[model].process(picture).detections or []
        height, width = picture.shape[:2]
        return [_to_box(one.location_data.relative_bounding_box, width, height) for one in found]


@contextlib.contextmanager
def native_messages_to_log() -> Iterator[None]:
    """Turn what native code writes to the error stream meanwhile into debug messages.

    mediapipe's C++ side greets every new graph with warnings that no Python setting silences.
    """
    with tempfile.TemporaryFile() as heard:
        try:
            kept = os.dup(2)
        except OSError:  # no error stream to keep clean
            yield
            return
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            heard.seek(0)
            for line in heard.read().decode(errors="replace").splitlines():
                _log.debug("native: %s", line)


def _open_mesh(count: int, min_confidence: float) -> Any:
    face_mesh = _import_solution("face_mesh")
    return face_mesh.FaceMesh(
        static_image_mode=False,
        max_num_faces=count,
        refine_landmarks=True,
        min_detection_confidence=min_confidence,
    )


def _open_finder(model: int, min_confidence: float) -> Any:
    face_detection = _import_solution("face_detection")
    return face_detection.FaceDetection(
        model_selection=model, min_detection_confidence=max(min_confidence, 0.4)
    )


def _import_solution(name: str) -> Any:
    try:
        return importlib.import_module(f"mediapipe.python.solutions.{name}")
    except ImportError as error:
        raise MissingAssetError(
            f"mediapipe's {name} cannot be loaded ({error})",
            'pip install "mediapipe==0.10.21": later wheels carry no models',
        ) from error


def _to_array(landmarks: Any) -> np.ndarray:
    return np.array([(point.x, point.y, point.z) for point in landmarks], np.float32)  # (478, 3)


def _box_area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _to_box(relative: Any, width: int, height: int) -> Box:
    left, top = relative.xmin * width, relative.ymin * height
    right, bottom = left + relative.width * width, top + relative.height * height
    return round(left), round(top), round(right), round(bottom)


def _shift(box: Box, left: int, top: int) -> Box:
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


def _tiles(width: int, height: int) -> Iterator[Box]:
    """Yield overlapping squares that cover the picture."""
    side = min(max(round(_TILE * max(width, height)), 64), width, height)
    columns = max(math.ceil(1.5 * width / side) - 1, 1)
    rows = max(math.ceil(1.5 * height / side) - 1, 1)
    for top in np.linspace(0, height - side, rows).round().astype(int):
        for left in np.linspace(0, width - side, columns).round().astype(int):
            yield int(left), int(top), int(left) + side, int(top) + side


def _window_around(box: Box, width: int, height: int) -> Box:
    """Return a square around a face, kept inside the picture."""
    face_side = max(box[2] - box[0], box[3] - box[1], 16)
    side = min(round(_WINDOW_SCALE * face_side), width, height)
    left = min(max((box[0] + box[2] - side) // 2, 0), width - side)
    top = min(max((box[1] + box[3] - side) // 2, 0), height - side)
    return left, top, left + side, top + side


def _detect_inside(meshes: _Meshes, picture: np.ndarray, window: Box) -> list[Face]:
    """Find one face in a window of the picture; points in pixels of the whole picture."""
    left, top, right, bottom = window
    inside = np.ascontiguousarray(picture[top:bottom, left:right])
    enlargement = max(_WINDOW_SIDE / (right - left), 1.0)
    if enlargement > 1.0:
        side = (_WINDOW_SIDE, _WINDOW_SIDE)
        inside = cv2.resize(inside, side, interpolation=cv2.INTER_CUBIC)
    offset = np.array([left, top, 0.0], np.float32)
    faces = meshes.detect(inside, 1)
    return [Face(face.points / np.float32(enlargement) + offset, face.score) for face in faces]


def _is_central(face: Face, window: Box) -> bool:
    """Say whether a face keeps clear of its window's edge by a tenth of the window."""
    margin = 0.1 * (window[2] - window[0])
    left, top, right, bottom = face.box
    return (
        left > window[0] + margin
        and top > window[1] + margin
        and right < window[2] - margin
        and bottom < window[3] - margin
    )
