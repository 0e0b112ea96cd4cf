"""The 224-pixel crops that Deep3DFaceRecon looks at, and the way between crop and full frame.

Deep3D films every crop with a camera of its own, whose axis meets the crop's middle. Ours meets the
frame's. Where a crop lies off the centre, or its scale asks for another focal length, no head in
the one camera looks exactly as in the other: the pose is fitted anew and the error stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix, matrix_to_euler, transform_points
from metatalk.shapes import check_shape

CROP_PX = 224
CROP_CAMERA = Camera(focal_px=1015.0, width=CROP_PX, height=CROP_PX)
PIXELS_PER_DM = 102.0  # scale of the standard face in a crop
# Eyes, nose tip and mouth corners of the standard face, the picture's left ones first: decimetres,
# y up, z towards the viewer, to a tenth of a millimetre. Its origin lands in the crop's middle.
STANDARD_POINTS_DM = (
    (-0.311, 0.290, 0.134), (0.310, 0.290, 0.132), (0.003, -0.046, 0.552),
    (-0.252, -0.381, 0.224), (0.248, -0.381, 0.222),
)  # fmt: skip
SMALLEST_FACE = 1e-3  # px per mm; below this the points are one
STEPS = 12  # of the pose's refit, at most
SETTLED = 1e-6  # radians and mm by which the last step may still move a pose
MOST_POINTS = 400  # of the mesh that a pose is refitted to
FRAMES_AT_ONCE = 128  # whose derivatives are held at a time


@dataclass(frozen=True, eq=False)
class Refit:
    """A pose found anew in another camera."""

    rotation: Tensor  # (T, 3) Euler angles XYZ, radians
    translation: Tensor  # (T, 3) mm, the new camera's frame
    error_px: Tensor  # (T,) root mean square distance of the projections, the new camera's pixels


def standard_crops(five_points: Tensor) -> Tensor:
    """Place the crops that Deep3D's network was trained on.

    The five points are explained by an affine image of the standard face's, by least squares; the
    mean length of its two rows is the face's scale, its offset the crop's middle.

    Args:
        five_points: (T, 5, 2) frame px: both eyes' middles, the nose's tip, both corners of the
            mouth; the picture's left ones first.

    Returns:
        (T, 2, 3) float64, upright similarities: crop px = crop @ [x px, y px, 1].

    Raises:
        ShapeError: the points are not shaped as documented, not finite, or all in one place.

    Source: Deng et al. 2019 (Deep3DFaceRecon), preprocessing: scale 102 px on a 224 crop.
    Departs: the public tool scales and cuts at whole pixels; ours keeps the fractions.
    """
    check_shape("five_points", five_points, "T 5 2")
    standard = _standard_points_mm()
    known = torch.cat((standard, torch.ones(5, 1, dtype=torch.float64)), 1)
    affine = torch.linalg.pinv(known) @ five_points.double()  # (T, 4, 2)
    px_per_mm = affine[:, :3].norm(dim=1).mean(1)
    if not (torch.isfinite(px_per_mm) & (px_per_mm > SMALLEST_FACE)).all():
        raise ShapeError(
            "five_points: a frame's points are not finite or all in one place",
            "give only frames in which a face was found",
        )
    scale = PIXELS_PER_DM / 100.0 / px_per_mm
    linear = scale[:, None, None] * torch.eye(2, dtype=torch.float64)
    shift = CROP_PX / 2 - scale[:, None] * affine[:, 3]
    return torch.cat((linear, shift[..., None]), -1)


def model_crops(
    model: MorphableModel, person: PersonCoefficients, track: TrackCoefficients, camera: Camera
) -> Tensor:
    """Place the standard crops about a reconstruction instead of about detected landmarks.

    The five points are those of the person's resting face, so the mouth does not move the crop.

    Args:
        model: a face model whose origin lies between the eyes.
        person: the actor.
        track: T frames.
        camera: the clip's.

    Returns:
        (T, 2, 3) float64 similarities from frame to crop px, as `standard_crops` gives them.
    """
    standard = _standard_points_mm()
    standard = standard - standard[:2].mean(0)
    corners = torch.cdist(standard, model.mean.double()).argmin(1)  # five vertices
    points = model.neutral(person.identity)[corners].double()
    seen = transform_points(points, track.rotation.double(), track.translation.double())
    return standard_crops(camera.project(seen))


def crop_to_frame(
    model: MorphableModel,
    person: PersonCoefficients,
    track: TrackCoefficients,
    crops: Tensor,
    camera: Camera,
) -> tuple[TrackCoefficients, Tensor]:
    """Take poses from Deep3D's crop camera into the clip's.

    Args:
        model: the face model.
        person: the actor.
        track: T frames, posed in `CROP_CAMERA`.
        crops: (T, 2, 3) similarities from frame to crop px.
        camera: the clip's.

    Returns:
        The track posed in the clip's camera, and (T,) the root mean square distance between
        the projections, frame px. It is zero where the crop is centred in the frame, upright,
        and as many times larger as its focal length; a head that looks the same otherwise does
        not exist, and the nearest is given.
    """
    return _change_camera(model, person, track, CROP_CAMERA, camera, invert_similarities(crops))


def frame_to_crop(
    model: MorphableModel,
    person: PersonCoefficients,
    track: TrackCoefficients,
    crops: Tensor,
    camera: Camera,
) -> tuple[TrackCoefficients, Tensor]:
    """Take poses from the clip's camera into Deep3D's crop camera: see `crop_to_frame`.

    Returns:
        The track posed in `CROP_CAMERA`, and (T,) the error, crop px.
    """
    return _change_camera(model, person, track, camera, CROP_CAMERA, crops)


def _change_camera(
    model: MorphableModel,
    person: PersonCoefficients,
    track: TrackCoefficients,
    source: Camera,
    target: Camera,
    transforms: Tensor,
) -> tuple[TrackCoefficients, Tensor]:
    points = sample_shapes(model, person.identity, track.expression)
    rotation, translation = track.rotation.double(), track.translation.double()
    seen = source.project(transform_points(points, rotation, translation))
    targets = apply_similarities(seen, transforms)
    start = guess_pose(rotation, translation, source, target, transforms)
    found = refit_pose(points, targets, *start, target)
    kind = track.rotation.dtype
    moved = replace(track, rotation=found.rotation.to(kind), translation=found.translation.to(kind))
    return moved, found.error_px


def sample_shapes(model: MorphableModel, identity: Tensor, expression: Tensor) -> Tensor:
    """Take vertices all over the face: (I,) or (T, I) and (T, E) to (T, N, 3) float64 mm."""
    count = len(model.mean)
    rows = torch.linspace(0, count - 1, min(count, MOST_POINTS)).round().long()
    parts = [
        torch.tensordot(values.double(), basis[:, rows].double(), dims=1)
        for values, basis in (
            (identity, model.identity_basis),
            (expression, model.expression_basis),
        )
    ]
    return model.mean[rows].double() + parts[0] + parts[1]


def guess_pose(
    rotation: Tensor, translation: Tensor, source: Camera, target: Camera, transforms: Tensor
) -> tuple[Tensor, Tensor]:
    """Turn and push a head so that it stands in another camera about where it stood in one.

    Args:
        rotation: (T, 3) Euler angles, radians, source camera.
        translation: (T, 3) mm, source camera.
        source: the camera of the pose.
        target: the other camera.
        transforms: (T, 2, 3) similarities from source to target px.

    Returns:
        (T, 3) Euler angles and (T, 3) mm in the target camera; exact where the source's axis
        meets the target's and the scale is the focal lengths' ratio.
    """
    check_shape("transforms", transforms, "T 2 3", T=len(rotation))
    linear = transforms[..., :2].double()
    scale = linear.det().abs().sqrt()
    middle = linear.new_tensor([[source.width / 2, source.height / 2]])
    hit = apply_similarities(middle.expand(len(linear), 1, 2), transforms)[:, 0]
    away = (hit - hit.new_tensor([target.width / 2, target.height / 2])) / target.focal_px
    turn = _turn_axis_to(away) @ _in_plane(linear / scale[:, None, None])
    further = target.focal_px / (source.focal_px * scale) * (1.0 + away.square().sum(-1)).sqrt()
    place = (turn @ translation.double()[..., None])[..., 0] * further[:, None]
    return matrix_to_euler(turn @ euler_to_matrix(rotation.double())), place


def refit_pose(
    points: Tensor, targets: Tensor, rotation: Tensor, translation: Tensor, camera: Camera
) -> Refit:
    """Pose heads so that they project best onto given pixels, by Gauss-Newton steps.

    Args:
        points: (T, N, 3) mm, model frame.
        targets: (T, N, 2) px.
        rotation: (T, 3) Euler angles to begin with, radians.
        translation: (T, 3) mm to begin with.
        camera: the camera.

    Returns:
        The best poses, float64, with what is left of the distance.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    sizes = check_shape("points", points, "T N 3")
    check_shape("targets", targets, "T N 2", **sizes)
    points, targets, place = points.double(), targets.double(), translation.double()
    turn = euler_to_matrix(rotation.double())
    batches = torch.arange(len(points)).split(FRAMES_AT_ONCE)
    found = [_refit_batch(points[i], targets[i], turn[i], place[i], camera) for i in batches]
    turns, places, errors = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Refit(matrix_to_euler(turns), places, errors)


def _refit_batch(
    points: Tensor, targets: Tensor, turn: Tensor, place: Tensor, camera: Camera
) -> tuple[Tensor, Tensor, Tensor]:
    """(T, 3, 3) rotations and (T, 3) translations that fit best, and (T,) what is left, px."""
    for _ in range(STEPS):
        turned = points @ turn.mT
        away = (camera.project(turned + place[:, None]) - targets).flatten(1)
        slopes = _pose_slopes(turned, place, camera.focal_px)
        step = -torch.linalg.solve(slopes.mT @ slopes, (slopes.mT @ away[..., None])[..., 0])
        turn = torch.linalg.matrix_exp(_crossing(step[:, :3])) @ turn
        place = place + step[:, 3:]
        if step.abs().max() < SETTLED:
            break
    left = camera.project(points @ turn.mT + place[:, None]) - targets
    return turn, place, left.square().sum(-1).mean(1).sqrt()


def _pose_slopes(turned: Tensor, place: Tensor, focal_px: float) -> Tensor:
    """(T, 2N, 6) derivatives of the projections by a turn about the origin and a shift."""
    x, y, z = (turned + place[:, None]).unbind(-1)
    zero, near = torch.zeros_like(z), focal_px / z
    lens = torch.stack((near, zero, -near * x / z, zero, near, -near * y / z), -1)
    lens = lens.unflatten(-1, (2, 3))  # (T, N, 2, 3)
    return torch.cat((-lens @ _crossing(turned), lens), -1).flatten(1, 2)


def _crossing(vectors: Tensor) -> Tensor:
    """(..., 3) to (..., 3, 3): the matrices that take a cross product with them."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.stack(rows, -2)


def apply_similarities(points: Tensor, transforms: Tensor) -> Tensor:
    """Take (T, N, 2) px through (T, 2, 3) similarities, in float64."""
    linear, shift = transforms.double().split((2, 1), -1)
    return points.double() @ linear.mT + shift.mT


def invert_similarities(transforms: Tensor) -> Tensor:
    """Turn (T, 2, 3) similarities about: frame to crop becomes crop to frame; float64."""
    linear, shift = transforms.double().split((2, 1), -1)
    inverse = torch.linalg.inv(linear)
    return torch.cat((inverse, -inverse @ shift), -1)


def _standard_points_mm() -> Tensor:
    """(5, 3) float64 mm, our axes."""
    axes = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    return 100.0 * axes * torch.tensor(STANDARD_POINTS_DM, dtype=torch.float64)


def _turn_axis_to(away: Tensor) -> Tensor:
    """(T, 2) slopes to (T, 3, 3): the shortest turns of the optical axis to those directions."""
    x, y = away.unbind(-1)
    length = (1.0 + x * x + y * y).sqrt()
    x, y, z = x / length, y / length, 1.0 / length
    rows = (
        torch.stack((1 - x * x / (1 + z), -x * y / (1 + z), x), -1),
        torch.stack((-x * y / (1 + z), 1 - y * y / (1 + z), y), -1),
        torch.stack((-x, -y, z), -1),
    )
    return torch.stack(rows, -2)


def _in_plane(turns: Tensor) -> Tensor:
    """(T, 2, 2) rotations of the picture to (T, 3, 3) rotations about the optical axis."""
    whole = torch.eye(3, dtype=turns.dtype).repeat(len(turns), 1, 1)
    whole[:, :2, :2] = turns
    return whole
