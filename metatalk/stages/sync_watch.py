"""A judge of lip sync beside the observer: it keeps the faces that go by, then is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from metatalk.errors import MediaError
from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.faces import crop_face
from metatalk.lipsync.judge import Judge, sync_of_faces
from metatalk.lipsync.syncnet_crop import crop_for_syncnet
from metatalk.lipsync.teachers import Scene
from metatalk.lipsync.wav2lip import FACE_PX


class SyncWatch:
    """Keeps one sentence's faces as the judge takes them.

    Args:
        judge: who is asked.
        scene: the sentence, whose boxes say where the face is.
    """

    def __init__(self, judge: Judge, scene: Scene) -> None:
        self.judge, self.scene = judge, scene
        self.faces: list[np.ndarray] = []

    def look_on(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Hand (H, W, 3) pictures on, and keep their faces."""
        for picture, place in zip(pictures, self.scene.order, strict=True):
            self.faces.append(self._face(picture, self.scene.boxes[place]))
            yield picture

    def reason(self, config: GateConfig) -> str:
        """What the judge has against the sentence, or ""; of less than two seconds nothing."""
        try:
            faces = np.stack(self.faces)
            figures = sync_of_faces(self.judge, faces, self.scene.samples, self.scene.rate)
        except MediaError:
            return ""
        if abs(figures.offset_frames) > config.max_offset:
            return "the judge finds it out of sync"
        low = figures.confidence < config.min_confidence
        return "the judge is not confident" if low else ""

    def _face(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        if self.judge.crop_px == FACE_PX:
            return crop_face(picture, box.tolist())
        left, top, right, bottom = (float(edge) for edge in box)
        half = max(right - left, bottom - top) / 2
        return crop_for_syncnet(picture, np.array([(left + right) / 2, (top + bottom) / 2, half]))
