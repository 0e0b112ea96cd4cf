"""What the presenter does in each frame: mouth, head, eyes and brows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from demo_presenter.light import room_light
from demo_presenter.speech import Phone
from demo_presenter.visemes import UNITS, blend_targets, lip_closure, lip_on_teeth, looks
from metatalk.landmarks.points import point_groups
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix

RATE = 25
FINE = 8  # the mouth is worked out at 200 Hz
DISTANCE_MM, LIFT_MM = 950.0, -22.0
NECK = np.array([0.0, 142.0, 58.0])  # the head turns about it, model frame
TEETH_GAP_MM = 2.2  # between the lips where the lower one touches the upper teeth
SHUTTER_S = 0.012  # a frame shows the mouth as it is on average in this time


@dataclass(frozen=True, eq=False)
class Performance:
    """The whole film, without its pictures."""

    track: TrackCoefficients
    body: np.ndarray  # (T, 3) mm, where the jumper is, camera frame


def perform(
    model: MorphableModel, identity: torch.Tensor, phones: tuple[Phone, ...], frames: int
) -> Performance:
    """Act a recording out.

    Args:
        model: the face model.
        identity: (I,) who speaks.
        phones: of the recording, in order.
        frames: how many.

    Returns:
        The performance.
    """
    rotation, body = _head(phones, frames)
    turn = euler_to_matrix(torch.from_numpy(rotation)).numpy()
    translation = body + NECK - turn @ NECK
    mouth, manner = _mouth(model, identity, phones, frames), _manner(model, phones, frames)
    expression = _together(model, identity, mouth, manner)
    light = torch.from_numpy(room_light())
    clouds = 1 + 0.012 * _drift(frames, 2.5, 61)
    track = TrackCoefficients(
        torch.from_numpy(expression).float(),
        torch.from_numpy(rotation).float(),
        torch.from_numpy(translation).float(),
        (light * torch.from_numpy(clouds).float()[:, None, None]).contiguous(),
        torch.ones(frames),
    )
    return Performance(track, body)


def lip_gap(model: MorphableModel, identity: torch.Tensor) -> tuple[float, np.ndarray]:
    """The gap between the inner lips: at rest, and what each unit adds, mm.

    Returns:
        () and (E,).
    """
    upper, lower = point_groups(model.landmark_layout).lip_gap
    mean, shapes, units = model.landmark_basis()
    neutral = mean + torch.tensordot(identity, shapes, 1)
    rest = float(neutral[lower, 1] - neutral[upper, 1])
    return rest, (units[:, lower, 1] - units[:, upper, 1]).numpy()


def _drift(frames: int, sigma_s: float, seed: int) -> np.ndarray:
    """(T,) slow noise of mean 0 and deviation 1."""
    field = np.random.default_rng(seed).standard_normal(frames + 400)
    slow = gaussian_filter1d(field, sigma_s * RATE)[200:-200]
    return (slow - slow.mean()) / slow.std()


def _mouth(
    model: MorphableModel, identity: torch.Tensor, phones: tuple[Phone, ...], frames: int
) -> np.ndarray:
    """(T, E) what speech does to the mouth; the lips meet where they must."""
    times = np.arange(-FINE, frames * FINE + FINE) / (RATE * FINE)
    parts = looks(phones)
    blended = gaussian_filter1d(blend_targets(parts, times), 0.010 * RATE * FINE, axis=0)
    closure = lip_closure(parts, times)
    names = list(model.expression_names)
    units = np.zeros((len(times), len(names)))
    for unit, amounts in zip(UNITS, blended.T, strict=True):
        sides = [unit] if unit in names else [f"{unit}Left", f"{unit}Right"]
        for side, share in zip(sides, (1.04, 0.96) if len(sides) == 2 else (1.0,), strict=True):
            units[:, names.index(side)] = amounts * share
    rest, gains = lip_gap(model, identity)
    gap = rest + units @ gains
    close = names.index("mouthClose")
    teeth = lip_on_teeth(parts, times)
    wanted = np.maximum(gap, 0)
    wanted = np.minimum(wanted, (1 - teeth) * wanted + teeth * TEETH_GAP_MM) * (1 - closure)
    units[:, close] = np.maximum((wanted - gap) / gains[close], 0)
    smooth = gaussian_filter1d(units, SHUTTER_S * RATE * FINE / 2, axis=0)
    return smooth[FINE : FINE + frames * FINE : FINE]


def _together(
    model: MorphableModel, identity: torch.Tensor, mouth: np.ndarray, manner: np.ndarray
) -> np.ndarray:
    """(T, E) speech with a manner: no smile on rounded lips, and lips that touch do not cross."""
    names = list(model.expression_names)
    smile = [names.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    rounded = np.clip(1.6 * mouth[:, names.index("mouthPucker")], 0, 1)
    manner[:, smile] *= (1 - rounded)[:, None]
    both = mouth + manner
    rest, gains = lip_gap(model, identity)
    crossed = np.minimum(rest + both @ gains, 0)
    close = names.index("mouthClose")
    both[:, close] = np.maximum(both[:, close] - crossed / gains[close], 0)
    return both


def _stresses(phones: tuple[Phone, ...]) -> np.ndarray:
    """Times of stressed vowels, not nearer than 0.55 s to each other."""
    chosen: list[float] = []
    for phone in phones:
        if phone.stressed and (not chosen or phone.start_s - chosen[-1] > 0.55):
            chosen.append(phone.start_s)
    return np.array(chosen)


def _pulses(
    times: np.ndarray, centres: np.ndarray, sizes: np.ndarray, width_s: float
) -> np.ndarray:
    """(T,) a sum of bells."""
    return (sizes * np.exp(-(((times[:, None] - centres) / width_s) ** 2))).sum(1)


def _head(phones: tuple[Phone, ...], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3) rotation, radians, and (T, 3) place of the body, mm."""
    times = np.arange(frames) / RATE
    beats = _stresses(phones)
    strength = np.random.default_rng(62).uniform(0.2, 1.0, len(beats))
    nod = _pulses(times, beats + 0.06, strength, 0.13)
    degrees = np.stack(
        [
            0.9 * _drift(frames, 0.9, 63) + 1.5 * nod - 1.0,
            2.5 * _drift(frames, 1.0, 64) + 1.0 * _drift(frames, 0.4, 65) + 2.0,
            1.0 * _drift(frames, 1.1, 66),
        ],
        -1,
    )
    sway = np.stack([2.6 * _drift(frames, 1.6, 67), 1.2 * _drift(frames, 1.3, 68),
                     4.0 * _drift(frames, 2.0, 69)], -1)  # fmt: skip
    return np.radians(degrees), sway + np.array([0.0, LIFT_MM, DISTANCE_MM])


def _manner(model: MorphableModel, phones: tuple[Phone, ...], frames: int) -> np.ndarray:
    """(T, E) blinks, glances, brows and a hint of a smile."""
    times = np.arange(frames) / RATE
    generator = np.random.default_rng(70)
    names = list(model.expression_names)
    units = np.zeros((frames, len(names)))

    def add(name: str, amounts: np.ndarray) -> None:
        for side in ("Left", "Right") if f"{name}Left" in names else ("",):
            units[:, names.index(name + side)] += amounts

    blinks = np.cumsum(generator.uniform(2.0, 4.6, int(times[-1] / 2) + 1)) - 1.0
    lids = np.zeros(frames)
    for blink in blinks:
        past = times - blink
        down, up = np.clip(1 - np.abs(past) / 0.09, 0, 1), np.clip(1 - past / 0.22, 0, 1)
        lids = np.maximum(lids, np.where(past < 0, down, up * (past >= 0)))
    add("eyeBlink", 0.93 * lids * lids * (3 - 2 * lids))
    beats = _stresses(phones)
    lift = _pulses(times, beats, generator.uniform(0, 1, len(beats)) ** 3, 0.22)
    add("browInnerUp", np.clip(0.34 * lift + 0.06 * _drift(frames, 0.8, 71) + 0.12, 0, 1))
    add("browOuterUp", np.clip(0.26 * lift + 0.12, 0, 1))
    add("eyeWide", np.full(frames, 0.12))
    add("cheekSquint", np.full(frames, 0.08))
    add("eyeSquint", np.clip(0.05 + 0.05 * _drift(frames, 1.5, 72), 0, 1))
    add("mouthSmile", np.clip(0.20 + 0.045 * _drift(frames, 1.8, 73), 0, 0.35))
    across, down = _glances(times, generator)
    for side, outwards in (("Right", -1), ("Left", 1)):
        units[:, names.index(f"eyeLookOut{side}")] = np.clip(outwards * across, 0, 1)
        units[:, names.index(f"eyeLookIn{side}")] = np.clip(-outwards * across, 0, 1)
        units[:, names.index(f"eyeLookDown{side}")] = np.clip(down, 0, 1)
        units[:, names.index(f"eyeLookUp{side}")] = np.clip(-down, 0, 1)
    return units


def _glances(times: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(T,) and (T,) looks to the picture's right and down: small jumps, mostly into the lens."""
    starts = np.cumsum(generator.uniform(0.4, 1.6, 80))
    places = generator.normal(0, 0.045, (81, 2))
    away = generator.uniform(size=81) < 0.14
    places[away] += generator.normal(0, 0.16, (int(away.sum()), 2)) * np.array([1.0, 0.5])
    path = places[np.searchsorted(starts, times)]
    path = gaussian_filter1d(path, 0.5, axis=0)
    return path[:, 0], path[:, 1]
