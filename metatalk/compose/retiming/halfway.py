"""Moments that were not filmed: pictures between two footage frames, and their stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from metatalk.compose.retiming.plan import FramePlan
from metatalk.errors import ShapeError
from metatalk.media.picture import Picture

_FLOW_SIDE = 512  # pixels of the longer side that motion is looked for in
_LEAST_SIDE = 48  # the search for motion needs as many
_FINE = 2.0  # width of the blur that parts fine from coarse, px of luma

ReadPictures = Callable[[list[int]], Iterable[Picture]]


def retimed_pictures(plan: FramePlan, read: ReadPictures) -> Iterator[Picture]:
    """The pictures of a plan in its order; those that were filmed as they are.

    Pictures that a moment lies between are read a stretch at a time, in the footage's order, so
    that nothing is decoded twice; memory holds the stretch, a few frames.

    Args:
        plan: N frames.
        read: gives footage pictures in an order, such as `read_pictures_in_order` of a clip.

    Returns:
        N pictures; a moment between has the number and time of its first footage frame.
    """
    stretches = list(_stretches(plan))
    order = [frame for _, wanted in stretches for frame in wanted]
    source = iter(read(order))
    for rows, wanted in stretches:
        held = {frame: next(source) for frame in wanted}
        for n in rows:
            first = held[int(plan.frames[n])]
            if plan.towards is None or plan.share is None or plan.share[n] == 0:
                yield first
            else:
                yield halfway(first, held[int(plan.towards[n])], float(plan.share[n]))


def _stretches(plan: FramePlan) -> Iterator[tuple[range, list[int]]]:
    """Frames of the result and the footage frames they take: one by one, moments together."""
    filmed, n = plan.is_filmed, 0
    while n < len(plan):
        end = n + 1
        if not filmed[n]:
            while end < len(plan) and not filmed[end]:
                end += 1
        wanted = set(plan.frames[n:end].tolist())
        if not filmed[n] and plan.towards is not None:
            wanted |= set(plan.towards[n:end].tolist())
        yield range(n, end), sorted(wanted)
        n = end


def halfway(first: Picture, second: Picture, share: float) -> Picture:
    """The moment a share of the way from one picture to another.

    What moves is looked for in both directions in the luma, reduced; each picture is carried to
    the moment and the two are blended. Fine structure comes from the nearer picture alone, so
    that neither grain nor sharpness breathes.

    Args:
        first: a picture.
        second: another of the same size and format.
        share: 0 gives the first as it is, 1 the second.

    Returns:
        A picture with the first one's number, time and tags.

    Raises:
        ShapeError: the pictures differ in size or depth, or the share is not in [0, 1].

    Source: Jiang et al. 2018, equation 4 (the flow at a moment between).
    """
    if not 0 <= share <= 1:
        raise ShapeError(f"a share of {share} of the way is not in [0, 1]")
    kinds = [
        [(plane.shape, plane.dtype) for plane in picture.planes] for picture in (first, second)
    ]
    if kinds[0] != kinds[1]:
        raise ShapeError("two pictures of unlike size or depth have nothing between them")
    if share == 0:
        return first
    if share == 1:
        return replace(second, index=first.index, pts=first.pts)
    flows = flow_to_moment(first.planes[0], second.planes[0], share)
    y, u, v = (
        _between(one, other, flows, share)
        for one, other in zip(first.planes, second.planes, strict=True)
    )
    return replace(first, planes=(y, u, v))


def flow_to_moment(
    first: np.ndarray, second: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where each point of the moment between two pictures is in them.

    Args:
        first: (H, W) luma of any depth.
        second: (H, W) luma.
        share: of the way from the first to the second.

    Returns:
        (h, w, 2) float32 twice, of a reduced picture: the way to the point in the first and in
        the second picture, x and y, as a share of the picture's width and height.

    Source: Jiang et al. 2018, equation 4.
    """
    one, other = _reduce(first, second)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    size = np.array(one.shape[::-1], np.float32)
    there, back = (
        np.asarray(search.calc(*pair, np.zeros((*one.shape, 2), np.float32))) / size
        for pair in ((one, other), (other, one))
    )
    s, r = np.float32(share), np.float32(1 - share)
    return -r * s * there + s * s * back, r * r * there - r * s * back


def _reduce(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures small and in the same 256 levels."""
    height, width = first.shape
    scale = min(1.0, _FLOW_SIDE / max(height, width))
    size = tuple(max(_LEAST_SIDE, round(side * scale)) for side in (width, height))
    small = [
        cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for plane in (first, second)
    ]
    low = min(float(plane.min()) for plane in small)
    span = max(max(float(plane.max()) for plane in small) - low, 1.0)
    one, other = (((plane - low) * (255 / span)).astype(np.uint8) for plane in small)
    return one, other


def _between(
    first: np.ndarray, second: np.ndarray, flows: tuple[np.ndarray, np.ndarray], share: float
) -> np.ndarray:
    """One plane of the moment, in the planes' own type."""
    carried = [_carry(plane, flow) for plane, flow in zip((first, second), flows, strict=True)]
    near = carried[0] if share <= 0.5 else carried[1]
    blend = carried[0] + np.float32(share) * (carried[1] - carried[0])
    # Coarse: the blend. Fine: the nearer picture's.
    blend += near - blend - cv2.GaussianBlur(near - blend, (0, 0), _FINE)
    top = max(int(first.max()), int(second.max()))  # a sharp edge must not ring over white
    return np.clip(np.rint(blend), 0, top).astype(first.dtype)


def _carry(plane: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(H, W) float32: a plane read where the flow points to."""
    height, width = plane.shape
    ways = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    columns = np.arange(width, dtype=np.float32) + ways[..., 0] * np.float32(width)
    rows = np.arange(height, dtype=np.float32)[:, None] + ways[..., 1] * np.float32(height)
    carried: np.ndarray = cv2.remap(
        plane.astype(np.float32),
        columns,
        rows,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return carried
