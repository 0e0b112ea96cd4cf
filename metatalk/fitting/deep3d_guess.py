"""A first guess of the reconstruction by Deep3DFaceRecon's network, in the clip's camera.

For users who have its checkpoint: `fit.face_model` must be bfm2009, on which the network's
coefficients stand. What it guesses is where our own fit begins, never what it ends with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.errors import FittingError
from metatalk.landmarks.points import point_groups
from metatalk.morphable.camera import Camera
from metatalk.morphable.deep3d import check_deep3d_model, read_deep3d, split_vectors
from metatalk.morphable.deep3d_crop import (
    CROP_CAMERA,
    CROP_PX,
    apply_similarities,
    guess_pose,
    invert_similarities,
    refit_pose,
    sample_shapes,
    standard_crops,
)
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.render.crops import warp_to_crop
from metatalk.shapes import check_shape

BATCH = 8  # crops that go through the network at once: bounds the memory


@dataclass(frozen=True, eq=False)
class Deep3DGuess:
    """Where a fit of N frames may begin."""

    identity: Tensor  # (I,) standard deviations, the mean over the frames
    texture: Tensor  # (X,) standard deviations, the mean over the frames
    expression: Tensor  # (N, E) standard deviations
    rotation: Tensor  # (N, 3) Euler angles XYZ, radians, the clip's camera
    translation: Tensor  # (N, 3) mm, the clip's camera
    lighting: Tensor  # (N, 3, 9) as `metatalk.morphable.lighting` has it
    error_px: Tensor  # (N,) what the change of camera and of identity costs, frame px

    def __post_init__(self) -> None:
        frames = check_shape("expression", self.expression, "N E")["N"]
        check_shape("rotation", self.rotation, "N 3", N=frames)
        check_shape("translation", self.translation, "N 3", N=frames)
        check_shape("lighting", self.lighting, "N 3 9", N=frames)
        check_shape("error_px", self.error_px, "N", N=frames)


def deep3d_guess(
    network: nn.Module,
    model: MorphableModel,
    pictures: Sequence[np.ndarray],
    points: np.ndarray | Tensor,
    layout: str,
    camera: Camera,
) -> Deep3DGuess:
    """Guess person, expression, pose and light of a few frames.

    Args:
        network: maps (B, 3, 224, 224) RGB in [0, 1] to (B, 257): `load_deep3d_network`.
        model: the Basel Face Model 2009 with 80/64/80 modes.
        pictures: N frames, (H, W, 3) uint8 RGB.
        points: (N, L, 2 or more) landmarks of the frames, px.
        layout: the landmarks' layout.
        camera: the clip's, with the focal length that is believed in.

    Returns:
        The guess, float32, on the CPU. Poses are fitted anew in the clip's camera, so that the
        averaged person projects there as the network's own heads do in their crops.

    Raises:
        ConfigError: the model is another one, or there is no such layout.
        FittingError: no frame, or one without a face.
        ShapeError: pictures and points do not belong together.
    """
    check_deep3d_model(model)
    check_shape("points", points, "N L D", N=len(pictures))
    crops = standard_crops(five_points(points, layout))
    vectors = predict_vectors(network, pictures, crops)
    person, track, _ = read_deep3d(vectors, model)
    own = sample_shapes(model, split_vectors(vectors)["id"], track.expression)
    pose = track.rotation.double(), track.translation.double()
    to_frame = invert_similarities(crops)
    targets = apply_similarities(CROP_CAMERA.project(transform_points(own, *pose)), to_frame)
    shapes = sample_shapes(model, person.identity, track.expression)
    start = guess_pose(*pose, CROP_CAMERA, camera, to_frame)
    found = refit_pose(shapes, targets, *start, camera)
    return Deep3DGuess(
        identity=person.identity,
        texture=person.texture,
        expression=track.expression,
        rotation=found.rotation.float(),
        translation=found.translation.float(),
        lighting=track.lighting,
        error_px=found.error_px.float(),
    )


def five_points(points: np.ndarray | Tensor, layout: str) -> Tensor:
    """Take the points by which crops are placed out of a detector's landmarks.

    Args:
        points: (N, L, 2 or more) px.
        layout: the landmarks' layout.

    Returns:
        (N, 5, 2) float64 px: the middle between both corners of each eye, the nose's tip, both
        corners of the mouth; the picture's left ones first.

    Raises:
        ConfigError: there is no such layout.
        FittingError: no frame, or one without a face.
        ShapeError: not landmarks of this layout.
    """
    groups = point_groups(layout)
    check_shape("points", points, "N L D", L=groups.count)
    places = torch.as_tensor(points)[..., :2].double()
    eyes = [
        places[:, [ring[0], ring[len(ring) // 2]]].mean(1)
        for ring in (groups.right_eye, groups.left_eye)
    ]
    others = [groups.nose_bridge[-1], *groups.mouth_corners]
    found = torch.cat((torch.stack(eyes, 1), places[:, others]), 1)
    unseen = (~torch.isfinite(found)).any(-1).any(-1).nonzero().flatten()
    if not len(found) or len(unseen):
        what = f"frame {int(unseen[0])} of those given has no face" if len(found) else "no frame"
        raise FittingError(f"the Deep3D network cannot guess: {what}", "give frames with a face")
    return found


@torch.no_grad()
def predict_vectors(network: nn.Module, pictures: Sequence[np.ndarray], crops: Tensor) -> Tensor:
    """Let the network look at the crops.

    Args:
        network: see `deep3d_guess`; runs where its weights are.
        pictures: N frames, (H, W, 3) uint8 RGB.
        crops: (N, 2, 3) similarities from frame to crop px.

    Returns:
        (N, 257) float32, on the CPU.

    Departs: beyond the picture the edge is repeated, where the public tool is black.
    """
    weight = next(network.parameters(), torch.zeros(()))
    rows = []
    for first in range(0, len(pictures), BATCH):
        batch = zip(pictures[first : first + BATCH], crops[first : first + BATCH], strict=True)
        cut = [warp_to_crop(picture, crop.numpy(), CROP_PX) for picture, crop in batch]
        images = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)
        rows.append(network(images.to(weight.device, weight.dtype) / 255.0).float().cpu())
    return torch.cat(rows)
