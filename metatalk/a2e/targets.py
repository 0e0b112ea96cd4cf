"""The actor's own mouth space: what the network predicts in place of all face units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.errors import FittingError
from metatalk.shapes import check_shape

_LEAST_FRAMES = 3
_LEAST_MM = 1e-3  # a component whose movement is below a micrometre is numerical dust
_RANGE_PERCENTILES = (0.5, 99.5)
_RANGE_MARGIN = 0.25  # deviations by which speech may leave the seen range


@dataclass(frozen=True, eq=False)
class MouthSpace:
    """Principal components of the visible mouth movement of one actor.

    A mouth coordinate counts standard deviations of the actor's own movement.
    """

    mean: np.ndarray  # (E,) the actor's mean expression, in the face model's units
    directions: np.ndarray  # (K, E) change of expression per unit of each coordinate
    encoder: np.ndarray  # (E, K) expression minus mean -> coordinates
    scale: np.ndarray  # (K,) millimetres, root-mean-square movement of the mouth per coordinate
    low: np.ndarray  # (K,) lowest coordinate seen, with a margin
    high: np.ndarray  # (K,) highest
    lower_units: np.ndarray  # (E,) bool, the units that speech may change

    def __post_init__(self) -> None:
        sizes = check_shape("directions", self.directions, "K E")
        check_shape("mean", self.mean, "E", **sizes)
        check_shape("encoder", self.encoder, "E K", **sizes)
        check_shape("scale", self.scale, "K", **sizes)
        check_shape("low", self.low, "K", **sizes)
        check_shape("high", self.high, "K", **sizes)
        check_shape("lower_units", self.lower_units, "E", **sizes)

    @property
    def components(self) -> int:
        """K, the number of coordinates."""
        return len(self.scale)

    def expression_to_mouth(self, expression: np.ndarray) -> np.ndarray:
        """Measure expressions in the mouth space.

        Args:
            expression: (T, E) in the face model's units.

        Returns:
            (T, K) float32 standard deviations.
        """
        check_shape("expression", expression, "T E", E=len(self.mean))
        return ((expression - self.mean) @ self.encoder).astype(np.float32)

    def mouth_to_expression(self, mouth: np.ndarray) -> np.ndarray:
        """Build expressions from mouth coordinates; the upper face is at the actor's mean.

        Args:
            mouth: (T, K) standard deviations.

        Returns:
            (T, E) float32 in the face model's units.
        """
        check_shape("mouth", mouth, "T K", K=self.components)
        return (self.mean + mouth @ self.directions).astype(np.float32)

    def replace_mouth(self, expression: np.ndarray, mouth: np.ndarray) -> np.ndarray:
        """Let faces say something else: the upper face stays, the lower units are exchanged.

        Args:
            expression: (T, E) as fitted.
            mouth: (T, K) as predicted.

        Returns:
            (T, E) float32.
        """
        check_shape("expression", expression, "T E", T=len(mouth), E=len(self.mean))
        spoken = self.mouth_to_expression(mouth)
        return np.where(self.lower_units, spoken, expression).astype(np.float32)

    def clamp(self, mouth: np.ndarray) -> np.ndarray:
        """Hold (T, K) coordinates inside what the actor was seen to do."""
        return np.clip(mouth, self.low, self.high)


def fit_mouth_space(
    expression: np.ndarray,
    has_face: np.ndarray,
    mouth_basis: np.ndarray,
    lower_units: np.ndarray,
    components: int = 8,
) -> MouthSpace:
    """Find the principal components of an actor's mouth movement.

    Distances are those of the mouth's vertices, so a unit that moves nothing visible there
    does not count, and two units that move the lips alike are one thing.

    Args:
        expression: (T, E) fitted to the footage, in the face model's units.
        has_face: (T,) bool, the frames to be used.
        mouth_basis: (E, D) millimetres per unit: the expression basis at lip and chin vertices,
            flattened.
        lower_units: (E,) bool, the units that speech may change.
        components: K at most; fewer where the footage holds fewer.

    Returns:
        The mouth space; `expression_to_mouth` undoes its `mouth_to_expression`.

    Raises:
        FittingError: fewer than three frames, or a mouth that never moves.
    """
    sizes = check_shape("expression", expression, "T E")
    check_shape("has_face", has_face, "T", **sizes)
    check_shape("mouth_basis", mouth_basis, "E D", **sizes)
    check_shape("lower_units", lower_units, "E", **sizes)
    lower = np.asarray(lower_units, bool)
    seen = np.asarray(expression, np.float64)[np.asarray(has_face, bool)]
    if len(seen) < _LEAST_FRAMES:
        raise FittingError(
            f"the footage has {len(seen)} frames with a face, too few to learn a mouth from",
            "Give footage of at least ten seconds in which the face is seen.",
        )
    mean = seen.mean(axis=0)
    change = (seen - mean) * lower  # (T, E)
    metric = _square_root(np.asarray(mouth_basis, np.float64))  # (E, E)
    spread, axes = _principal_axes(change @ metric, components)
    encoder = metric @ axes / spread * lower[:, None]  # (E, K)
    coordinates = change @ encoder  # (T, K), uncorrelated, unit variance
    # The mean expression given the coordinates: units that the mouth's vertices cannot tell
    # apart are split as this actor splits them.
    directions = coordinates.T @ change / len(seen)
    low, high = np.percentile(coordinates, _RANGE_PERCENTILES, axis=0)
    single = np.float32
    return MouthSpace(
        mean=mean.astype(single),
        directions=directions.astype(single),
        encoder=encoder.astype(single),
        scale=(spread / np.sqrt(mouth_basis.shape[1] / 3)).astype(single),
        low=(low - _RANGE_MARGIN).astype(single),
        high=(high + _RANGE_MARGIN).astype(single),
        lower_units=lower,
    )


def _square_root(basis: np.ndarray) -> np.ndarray:
    """L (E, E) with L L^T = basis basis^T: the same lengths in far fewer dimensions."""
    values, vectors = np.linalg.eigh(basis @ basis.T)
    root: np.ndarray = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _principal_axes(points: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Spread (K,) and unit axes (E, K) of centred points (T, E), largest first."""
    _, singular, axes = np.linalg.svd(points, full_matrices=False)
    spread = singular / np.sqrt(len(points))
    kept = min(components, int((spread > max(_LEAST_MM, 1e-4 * spread[0])).sum()))
    if kept == 0:
        raise FittingError(
            "the mouth does not move in this footage",
            "Give footage in which the actor speaks.",
        )
    return spread[:kept], axes[:kept].T
