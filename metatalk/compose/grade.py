"""Footage in another grade than the actor's: brought to the actor's colours, and back.

A network draws in the colours that it was trained on. What it is shown of a log, black and white
or HDR picture is turned into those, and what it draws is turned into the picture's own. The turn
is learned from one face seen in both: place by place, the same skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from metatalk.compose.grade_config import GradeConfig
from metatalk.compose.grade_skin import LUMA, FaceColours, usual_colours
from metatalk.compose.grade_transfer import SDR, convert_codes
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.shapes import check_shape

FEWEST = 60  # places of a face that must be seen in both
_MOST_GAIN = 2.5  # by which chroma, and with it noise, is raised on the way in
_CONTRASTS = (0.25, 4.0)  # what is less, or more, is taken for that: noise grows with it
_GREY = 0.12  # share of the actor's colourfulness below which footage has none of its own
_COLOURLESS = 0.012  # chroma of skin, full range 1, that is none
_LEAST_ALIKE = 0.5  # correlation of one face in two lights that is believed at least
_BEND = 3.0  # factor by which the shadows' contrast may differ from the skin's
_NOISE = 0.004  # of a place's usual colour, full range 1
_ROUNDS, _OUTLYING = 3, 2.5


@dataclass(frozen=True, eq=False)
class Side:
    """What luma and chroma are like on one side of a map."""

    luma: np.ndarray  # (P,) increasing knots, which stand for the other side's
    chroma: np.ndarray  # (2,) B - Y and R - Y of skin
    middle: float = 0.0  # luma of skin
    tint: np.ndarray = field(default_factory=lambda: np.zeros(2))  # (2,) chroma by luma

    def usual(self, luma: np.ndarray) -> np.ndarray:
        """(..., 2) float32: the chroma that saturation is counted from, at (...) luma."""
        turned = self.chroma + self.tint * (luma[..., None] - self.middle)
        return np.asarray(turned, np.float32)


@dataclass(frozen=True, eq=False)
class Grade:
    """A map from a shot's colours to those that the actor was learned in, and back."""

    here: Side  # the shot's
    there: Side  # the actor's
    saturation: float  # the shot's chroma over the actor's, about the usual; 0: a tint, or none
    light: np.ndarray  # (3, 2) float32 by which the fitted light grows: even, and directed
    transfer_here: int = SDR
    transfer_there: int = SDR

    def bring(self, pictures: np.ndarray) -> np.ndarray:
        """(..., 3) uint8 RGB of the shot to (..., 3) uint8 in the actor's colours."""
        given = pictures.astype(np.float32) / 255
        codes = convert_codes(given, self.transfer_here, self.transfer_there)
        gain = min(1 / max(self.saturation, 1e-6), _MOST_GAIN)
        return np.rint(_turn(codes, self.here, self.there, gain) * 255).astype(np.uint8)

    def take_back(self, picture: np.ndarray) -> np.ndarray:
        """(..., 3) float32 RGB in the actor's colours to (..., 3) float32 in the shot's."""
        codes = _turn(picture, self.there, self.here, self.saturation)
        return convert_codes(codes, self.transfer_there, self.transfer_here)

    def relight(self, lighting: Tensor) -> Tensor:
        """(..., 3, 9) light as fitted to the shot to light under which it has the actor's colours.

        What a mesh shows is its albedo times the light, so that no other map is as true to it.
        """
        check_shape("lighting", lighting, "... 3 9")
        even, directed = torch.from_numpy(self.light).to(lighting).unbind(1)
        return torch.cat(
            (lighting[..., :1] * even[:, None], lighting[..., 1:] * directed[:, None]), -1
        )


@dataclass(frozen=True, eq=False)
class ShotGrades:
    """The grades of a clip's shots; None: the actor's own."""

    shots: np.ndarray  # (K, 2) first frame and one past the last of each
    grades: Sequence[Grade | None] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        check_shape("shots", self.shots, "K 2", K=len(self.grades))

    def at(self, frames: np.ndarray) -> list[Grade | None]:
        """Of the footage's frames (N,)."""
        rows = np.searchsorted(self.shots[:, 0], frames, side="right") - 1
        return [self.grades[max(int(row), 0)] for row in rows]


def bring_all(pictures: np.ndarray, grades: Sequence[Grade | None] | None) -> np.ndarray:
    """(B, S, S, 3) uint8 pictures, each by its grade; the very array where there are none."""
    if grades is None or not any(grades):
        return pictures
    each = zip(pictures, grades, strict=True)
    return np.stack([one if grade is None else grade.bring(one) for one, grade in each])


def take_all_back(pictures: np.ndarray, grades: Sequence[Grade | None] | None) -> np.ndarray:
    """(B, S, S, 3) float32 pictures, each back by its grade; as `bring_all`."""
    if grades is None or not any(grades):
        return pictures
    each = zip(pictures, grades, strict=True)
    return np.stack([one if grade is None else grade.take_back(one) for one, grade in each])


def relight_all(
    track: TrackCoefficients, grades: Sequence[Grade | None] | None
) -> TrackCoefficients:
    """Faces (B), each under the light of its grade; the very track where there are none."""
    if grades is None or not any(grades):
        return track
    each = zip(track.lighting, grades, strict=True)
    light = [one if grade is None else grade.relight(one) for one, grade in each]
    return replace(track, lighting=torch.stack(light))


@dataclass(frozen=True)
class Difference:
    """How a shot's skin differs from the actor's."""

    contrast: float  # the shot's over the actor's
    saturation: float
    brightness: float  # the shot's less the actor's, full range 1
    colour: float  # the greatest difference of B - Y and R - Y besides saturation
    transfers: bool = False  # whether one is PQ or HLG and the other is not


def compare_faces(
    shot: FaceColours, actor: FaceColours, transfers: tuple[int, int] = (SDR, SDR)
) -> tuple[Grade, Difference] | None:
    """Learn the map from one face seen in a shot and by the actor's camera.

    Where light fell otherwise, contrast cannot be told from shading: it may be anything between
    the two regression lines, and of that the likeliest is taken, which is what a plain change
    of exposure, or of saturation, would give.

    Args:
        shot: what the shot shows of the face.
        actor: what the actor was learned from.
        transfers: the shot's and the actor's: SDR, PQ or HLG.

    Returns:
        The map and what it mends; None where too little of the face is seen in both.
    """
    both = shot.is_seen & actor.is_seen
    if both.sum() < FEWEST:
        return None
    here = convert_codes(shot.colours[both], *transfers)
    there = actor.colours[both]
    kept = _alike(here @ LUMA, there @ LUMA)
    here, there = here[kept], there[kept]
    (y_here, c_here), (y_there, c_there) = _split(here), _split(there)
    contrast = _contrast(y_here, y_there)
    dark = float(convert_codes(shot.dark, *transfers) @ LUMA), float(actor.dark @ LUMA)
    luma_here, luma_there = _curve(y_here, y_there, contrast, dark)
    saturation = _saturation(y_here, c_here, y_there, c_there)
    side_here = _side(luma_here, y_here, c_here, saturation == 0)
    side_there = _side(luma_there, y_there, c_there, saturation == 0)
    light = _light(shot.colours[both][kept], there)
    grade = Grade(side_here, side_there, saturation, light, *transfers)
    colour = float(np.abs(side_here.chroma - saturation * side_there.chroma).max())
    brightness = float(y_here.mean() - y_there.mean())
    return grade, Difference(contrast, saturation, brightness, colour, transfers[0] != transfers[1])


def grade_shots(
    shots: np.ndarray,
    seen: Sequence[FaceColours],
    actor: FaceColours,
    transfers: tuple[int, int],
    config: GradeConfig,
) -> tuple[ShotGrades | None, list[Difference]]:
    """Find which shots are in another grade than the actor's.

    Args:
        shots: (N, 2) first frame and one past the last of each.
        seen: what each of them shows of the face.
        actor: what the actor was learned from.
        transfers: the clip's and the actor's: SDR, PQ or HLG.
        config: what is still the actor's own grade.

    Returns:
        The grades, None where all are the actor's own; and how those shots differ that are not.
    """
    # Of a shot that hardly shows the face, the clip is the best guess.
    usual = compare_faces(usual_colours(seen), actor, transfers)
    found = [compare_faces(one, actor, transfers) or usual for one in seen]
    others = [None if one is None or not differs(one[1], config) else one for one in found]
    told = [one[1] for one in others if one is not None]
    grades = [None if one is None else one[0] for one in others]
    return (ShotGrades(shots, grades) if told else None), told


def differs(difference: Difference, config: GradeConfig) -> bool:
    """Whether a shot is in another grade, and not merely in another light."""
    far = lambda ratio, most: not 1 / most <= max(ratio, 1e-6) <= most  # noqa: E731
    return (
        difference.transfers
        or far(difference.contrast, config.contrast)
        or far(difference.saturation, config.saturation)
        or abs(difference.brightness) > config.offset
        or difference.colour > config.offset
    )


def _light(raw: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(3, 2) factors of the light that was fitted to the shot's own codes (K, 3)."""
    contrast = _contrast(raw @ LUMA, there @ LUMA)
    even = there.mean(0) / np.maximum(raw.mean(0), 1e-3)
    directed = even / max(float(even @ LUMA), 1e-3) / contrast
    return np.stack([even, directed], 1).astype(np.float32)


def _split(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 3) RGB to (...) luma and (..., 2) what blue and red have beyond it."""
    luma = colours @ LUMA
    return luma, np.stack([colours[..., 2] - luma, colours[..., 0] - luma], -1)


def _turn(codes: np.ndarray, given: Side, wanted: Side, gain: float) -> np.ndarray:
    """(..., 3) float32 in [0, 1]: luma along a curve, chroma along a line."""
    before, chroma = _split(codes)
    luma: np.ndarray = np.interp(before, given.luma, wanted.luma).astype(np.float32)
    chroma = (chroma - given.usual(before)) * np.float32(gain) + wanted.usual(luma)
    blue, red = chroma[..., 0], chroma[..., 1]
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    turned = np.stack([luma + red, luma + green, luma + blue], -1)
    return np.clip(turned, 0, 1, out=turned)


def _side(knots: np.ndarray, luma: np.ndarray, chroma: np.ndarray, is_tinted: bool) -> Side:
    """One side of the map; where the shot has one tint only, it may grow with luma."""
    usual, middle = np.median(chroma, 0), float(luma.mean())
    if not is_tinted:
        return Side(knots, usual, middle)
    tint = _trend(luma, chroma)
    if np.abs(usual).max() < _COLOURLESS:
        return Side(knots, np.zeros(2), middle)
    return Side(knots, usual, middle, tint)


def _trend(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """(2,) how fast chroma (K, 2) grows with luma (K,)."""
    away = luma - luma.mean()
    slope: np.ndarray = away @ (chroma - chroma.mean(0)) / max(float(away @ away), 1e-9)
    return slope


def _alike(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(K,) bool: places that do not stand out from the line through the others."""
    kept = np.ones(len(here), bool)
    for _ in range(_ROUNDS):
        slope, base = np.polyfit(there[kept], here[kept], 1)
        apart: np.ndarray = np.abs(here - slope * there - base)
        # About the line, not about their own mean: two equal halves have no spread about that.
        spread = float(np.sqrt((apart[kept] ** 2).mean()))
        kept = apart <= _OUTLYING * max(spread, 1e-4)
    return kept


def _gain(here: np.ndarray, there: np.ndarray, likely: float) -> float:
    """How much more (K, C) values vary here than there, as near `likely` as can be."""
    here, there = here - here.mean(0), there - there.mean(0)
    noise = here.size * _NOISE**2  # what varies no more than that varies as much here as there
    power_here, power_there = float((here**2).sum()) + noise, float((there**2).sum()) + noise
    spread = np.sqrt(power_here / power_there)
    alike = float((here * there).sum()) / np.sqrt(power_here * power_there)
    alike = max(alike, _LEAST_ALIKE)
    return float(np.clip(likely, spread * alike, spread / alike))


def _contrast(here: np.ndarray, there: np.ndarray) -> float:
    """How much more luma (K,) varies here than there, within bounds."""
    likely = float(here.mean() / max(float(there.mean()), 1e-3))
    return float(np.clip(_gain(here[:, None], there[:, None], likely), *_CONTRASTS))


def _saturation(
    luma: np.ndarray, here: np.ndarray, luma_there: np.ndarray, there: np.ndarray
) -> float:
    """The chroma (K, 2) of a shot over the actor's; 0 where its luma (K,) explains it.

    Where the actor's luma explains the actor's as well, and both have one tint, it is 1.
    """
    m_here, m_there = np.median(here, 0), np.median(there, 0)
    likely = float(m_here @ m_there / max(float(m_there @ m_there), 1e-6))
    own = here - here.mean(0) - (luma - luma.mean())[:, None] * _trend(luma, here)
    varied = there - there.mean(0)
    drawn = varied - (luma_there - luma_there.mean())[:, None] * _trend(luma_there, there)
    is_plain = max(float((own**2).mean()), float((drawn**2).mean())) <= _NOISE**2
    if is_plain and np.abs(m_here - m_there).max() < _COLOURLESS:
        return 1.0  # neither has a colour of its own
    spread = np.sqrt((own**2).mean() / ((varied**2).mean() + _NOISE**2))
    return 0.0 if spread < _GREY else float(min(_gain(here, there, likely), _CONTRASTS[1]))


def _curve(
    here: np.ndarray, there: np.ndarray, contrast: float, dark: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the luma's map: a line on skin, another one in the shadows below it."""
    middle_here, middle_there = float(here.mean()), float(there.mean())
    low = float(np.quantile(there, 0.05))
    low_here = middle_here + contrast * (low - middle_there)
    slope, (dark_here, dark_there) = contrast, dark
    if np.isfinite(dark).all() and dark_there < low - 0.05:
        slope = (low_here - dark_here) / (low - dark_there)
        slope = float(np.clip(slope, contrast / _BEND, contrast * _BEND))
    knots_there = np.array([0.0, low, 1.0])
    knots_here = np.array([low_here - slope * low, low_here, low_here + contrast * (1 - low)])
    return knots_here, knots_there
