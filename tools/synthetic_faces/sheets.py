"""Contact sheets: the frames of a clip in which the fit is worst, with the mesh drawn on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from metatalk.evaluate.fit_errors import in_picture, mesh_landmarks
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.render.rasterize import rasterize
from synthetic_faces.footage import Footage

TILE, COLUMNS, WORST = 360, 5, 20  # pixels; tiles a row; tiles
MARGIN = 1.25  # of the tile about the face
FITTED, DETECTED, OUTLINE, WRITING = (60, 255, 60), (255, 70, 70), (90, 160, 255), (255, 255, 0)


@dataclass(frozen=True, eq=False)
class Overlay:
    """A reconstruction, ready to be drawn on its footage."""

    model: MorphableModel
    footage: Footage
    found: Reconstruction
    fitted: np.ndarray  # (T, L, 2) pixels


def write_sheet(
    path: Path, model: MorphableModel, footage: Footage, found: Reconstruction, error: np.ndarray
) -> None:
    """Draw the worst frames of a clip, worst first.

    Args:
        path: PNG file.
        model: the face model.
        footage: the clip.
        found: its reconstruction.
        error: (T,) by which frames are ranked; nan is left out. Neighbours of a frame that is
            shown (within a third of a second) are not shown too.
    """
    fitted = in_picture(found, mesh_landmarks(model, found))
    overlay = Overlay(model, footage, found, fitted)
    chosen = _worst(error, max(1, round(footage.rate / 3)))
    tiles = {}
    for picture in footage.pictures():
        if picture.index in chosen:
            note = f"{picture.index}: {error[picture.index]:.2f} %"
            tiles[picture.index] = draw_tile(overlay, picture.index, picture.rgb(), note)
    ordered = [tiles[frame] for frame in chosen if frame in tiles]
    ordered += [np.zeros((TILE, TILE, 3), np.uint8)] * (-len(ordered) % COLUMNS)
    rows = [np.concatenate(ordered[i : i + COLUMNS], 1) for i in range(0, len(ordered), COLUMNS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _worst(error: np.ndarray, apart: int) -> list[int]:
    chosen: list[int] = []
    for frame in np.argsort(-np.nan_to_num(error, nan=-1.0)).tolist():
        if np.isnan(error[frame]) or len(chosen) == WORST:
            break
        if all(abs(frame - other) >= apart for other in chosen):
            chosen.append(frame)
    return chosen


def draw_tile(overlay: Overlay, frame: int, picture: np.ndarray, note: str) -> np.ndarray:
    """Cut the face out and draw on it: fit green, detector red, the mesh's outline blue.

    Args:
        overlay: what to draw.
        frame: its number.
        picture: (H, W, 3) uint8 RGB.
        note: written into the corner.

    Returns:
        (TILE, TILE, 3) uint8 RGB.
    """
    both = np.concatenate([overlay.fitted[frame], overlay.footage.landmarks.points[frame, :, :2]])
    low, high = np.nanmin(both, 0), np.nanmax(both, 0)
    scale = TILE / (MARGIN * float((high - low).max()))
    shift = TILE / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    tile = cv2.warpAffine(picture, matrix, (TILE, TILE), flags=cv2.INTER_LINEAR)
    _draw_outline(tile, overlay, frame, scale, shift)
    groups = point_groups(overlay.footage.landmarks.layout)
    rings = (groups.lips_outer, groups.lips_inner, groups.right_eye, groups.left_eye)
    lines = (groups.right_brow, groups.left_brow, groups.nose_bridge, groups.nose_base, groups.jaw)
    for points, colour in (
        (overlay.footage.landmarks.points[frame, :, :2], DETECTED),
        (overlay.fitted[frame], FITTED),
    ):
        placed = np.round((points * scale + shift) * 8).astype(np.int32)
        for closed, shapes in ((True, rings), (False, lines)):
            curves = [placed[list(shape)] for shape in shapes]
            cv2.polylines(tile, curves, closed, colour, 1, cv2.LINE_AA, 3)
    cv2.putText(tile, note, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WRITING, 1, cv2.LINE_AA)
    return tile


def _draw_outline(
    tile: np.ndarray, overlay: Overlay, frame: int, scale: float, shift: np.ndarray
) -> None:
    """The silhouette of the whole mesh."""
    found, model = overlay.found, overlay.model
    shape = model.shape(found.person.identity, found.track.expression[frame])
    rotation, translation = found.track.rotation[frame], found.track.translation[frame]
    placed = transform_points(shape[None], rotation[None], translation[None])[0]
    pixels = found.camera.project(placed) * scale + torch.from_numpy(shift).float()
    points = torch.cat([pixels, placed[:, 2:]], 1).numpy().astype(np.float32)
    seen = rasterize(points[None], model.triangles.numpy().astype(np.int32), TILE, TILE, threads=1)
    mask = seen.covered[0].astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, contours, -1, OUTLINE, 1, cv2.LINE_AA)
