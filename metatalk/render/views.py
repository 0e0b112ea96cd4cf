"""All that is drawn of a frame to give it another mouth, from as few passes as will do.

`Scene` draws each of these pictures on its own. Here the new face is rasterised once for all of
them: that halves the work of a driven frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.scene import Scene
from metatalk.render.texture import Look, carry_skin, look_at, paint_surface
from metatalk.render.warp import CarryMap
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Views:
    """What B frames' crops show of the face that is to be shown in them."""

    synthetic: np.ndarray  # (B, S, S, 3) uint8: as `Scene.synthetic` draws it
    geometry: np.ndarray  # (B, S, S, 3) uint8: its normals, see `texture.paint_surface`
    mask: np.ndarray  # (B, S, S) uint8: as `Scene.mask` draws it
    carried: CarryMap  # as `Scene.carry` in the mask; invalid where the mouth's inside is seen
    look: Look  # what the new face shows at each pixel of the mask and around it
    filmed_look: Look  # what the filmed face shows there

    def __post_init__(self) -> None:
        sizes = check_shape("mask", self.mask, "B S S")
        check_shape("synthetic", self.synthetic, "B S S 3", **sizes)
        check_shape("geometry", self.geometry, "B S S 3", **sizes)
        check_shape("source", self.carried.source, "B S S 2", **sizes)
        check_shape("triangle", self.look.seen.triangle, "B S S", **sizes)


def draw_views(
    scene: Scene,
    track: TrackCoefficients,
    filmed: TrackCoefficients,
    transforms: np.ndarray,
    threads: int | None = None,
) -> Views:
    """Draw what the networks and the composition are shown of some frames.

    Args:
        scene: the actor before the clip's camera.
        track: (B) the face to be shown.
        filmed: (B) the face in the footage, in the same pose.
        transforms: (B, 2, 3) frame px to crop px.
        threads: at most this many at once on the processor; None means one for each core.

    Returns:
        The views.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    mask = scene.mask(filmed, transforms, threads)
    new = look_at(scene, track, transforms, mask, threads)
    old = look_at(scene, filmed, transforms, mask, threads, weighted=False)
    synthetic, geometry = paint_surface(scene, new, track.lighting, threads)
    carried = carry_skin(scene, new, old, threads)
    return Views(synthetic, geometry, mask, carried, new, old)
