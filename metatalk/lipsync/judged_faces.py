"""Faces as a judge looks at them: cut in one way, whoever asks the judge, and about what."""

from __future__ import annotations

import numpy as np

from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.config import BOX_SMOOTH_S, FACE_MARGIN
from metatalk.lipsync.faces import crop_face, face_boxes
from metatalk.lipsync.judge import Judge
from metatalk.lipsync.syncnet_crop import crop_for_syncnet, syncnet_places


def judged_boxes(judge: Judge, track: LandmarkTrack, rate: float) -> np.ndarray:
    """Box the face in every frame as the judge's own footage was boxed.

    Args:
        judge: who will look.
        track: landmarks of the clip.
        rate: frames a second.

    Returns:
        (T, 4) float32 left, top, right, bottom in pixels; NaN where there is no face.
    """
    if judge.kind == "syncnet":  # steadied by `judged_places`
        return face_boxes(track, smooth_frames=0.0, margin=0.0)
    return face_boxes(track, BOX_SMOOTH_S * rate, FACE_MARGIN)


def judged_places(judge: Judge, boxes: np.ndarray) -> np.ndarray:
    """Say where the judge's faces are cut in a run of frames.

    Args:
        judge: who will look.
        boxes: (T, 4) from `judged_boxes`, those of the frames seen at 25 a second.

    Returns:
        (T, P), a row for each `cut_judged`.
    """
    return syncnet_places(boxes) if judge.kind == "syncnet" else boxes


def cut_judged(judge: Judge, picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Cut a face out of a picture as the judge takes it.

    Args:
        judge: who will look.
        picture: (H, W, 3) uint8 RGB.
        place: (P,) from `judged_places`.

    Returns:
        (px, px, 3) uint8 RGB of the judge's size.
    """
    if judge.kind == "syncnet":
        return crop_for_syncnet(picture, place)
    return crop_face(picture, place)
