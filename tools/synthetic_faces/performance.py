"""What a random person does before the camera: talk, keep still, turn the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from demo_presenter.performance import NECK, lip_gap
from demo_presenter.visemes import UNITS, Look, blend_targets, lip_closure
from scipy.ndimage import gaussian_filter1d

from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix

RATE = 25.0
# The parts of a clip, as shares of its frames: talk with a moving head, a neutral closed mouth
# while the head turns from side to side, talk while it turns back, talk with a still head.
TALK_END, NEUTRAL_END, BACK_END = 0.35, 0.70, 0.82
YAW, PITCH, ROLL = 40.0, 15.0, 10.0  # degrees either way
CHANGING_SHARE = 0.4  # of the clips have light that changes
VOWELS = ("aa", "AO", "ah", "E", "ih", "@", "ou")
CONSONANTS = ("PP", "PP", "FF", "TH", "DD", "DD", "kk", "CH", "SS", "RR")
PHONE_S = (0.06, 0.15)  # how long a sound lasts
LOUDNESS = (0.8, 1.6)  # of a person, in the presenter's
JAW = (0.35, 0.65)  # how far a person's jaw opens at the most
# Units that colour speech: how far they go, and how many times a second they come.
MANNER = {"mouthSmile": (0.5, 0.5), "mouthPress": (0.3, 0.3), "mouthFrown": (0.25, 0.3),
          "mouthDimple": (0.25, 0.3), "jawLeft": (0.12, 0.3), "jawRight": (0.12, 0.3),
          "mouthLeft": (0.15, 0.2), "mouthRight": (0.15, 0.2),
          "mouthShrugLower": (0.25, 0.3)}  # fmt: skip
# Units that come at any time, neutral mouth or not.
UPPER = {"browInnerUp": (0.7, 0.5), "browOuterUp": (0.6, 0.4), "browDown": (0.6, 0.4),
         "eyeSquint": (0.4, 0.4), "eyeWide": (0.4, 0.3), "cheekSquint": (0.3, 0.3)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Acting:
    """Every frame of a clip, without its pictures."""

    expression: torch.Tensor  # (T, E)
    rotation: torch.Tensor  # (T, 3) radians
    translation: torch.Tensor  # (T, 3) mm
    lighting: torch.Tensor  # (T, 3, 9)
    body: np.ndarray  # (T, 3) mm, where the jumper is
    still: np.ndarray  # (T,) bool: the head does not move
    neutral: np.ndarray  # (T,) bool: no unit of the lower face is active


def act(
    model: MorphableModel, identity: torch.Tensor, frames: int, depth_mm: float,
    generator: np.random.Generator,
) -> Acting:  # fmt: skip
    """Act a clip.

    Args:
        model: the face model.
        identity: (I,) who acts.
        frames: T.
        depth_mm: how far from the camera.
        generator: of random numbers.

    Returns:
        The acting.
    """
    neutral, still = _parts(frames)
    mouth = _mouth(model, identity, frames, generator)
    mouth *= _fade(neutral)[:, None]
    expression = mouth + _upper(model, frames, generator)
    rotation = _head(frames, generator)
    body = np.stack([_wander(frames, 0.8, generator) * 8, _wander(frames, 0.8, generator) * 5,
                     _wander(frames, 1.0, generator) * 0.03 * depth_mm], -1)  # fmt: skip
    body += np.array([0.0, -40.0, depth_mm])
    body = _stopped(body, frames)
    turn = euler_to_matrix(torch.from_numpy(rotation)).numpy()
    translation = body + NECK - turn @ NECK
    as_float = lambda array: torch.from_numpy(np.ascontiguousarray(array)).float()  # noqa: E731
    return Acting(as_float(expression), as_float(rotation), as_float(translation),
                  as_float(_light(frames, generator)), body, still, neutral)  # fmt: skip


def _parts(frames: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.arange(frames) / frames
    return (share >= TALK_END) & (share < NEUTRAL_END), share >= BACK_END


def _fade(neutral: np.ndarray) -> np.ndarray:
    """(T,) how much of the mouth's movement there is: none in neutral frames, all soon after."""
    away = np.abs(np.arange(len(neutral))[:, None] - np.flatnonzero(neutral)).min(1)
    return np.minimum(away / 3.0, 1.0)


def _wander(frames: int, sigma_s: float, generator: np.random.Generator) -> np.ndarray:
    """(T,) slow noise, its furthest point at 1."""
    slow = gaussian_filter1d(generator.standard_normal(frames + 300), sigma_s * RATE)[150:-150]
    slow = slow - slow.mean()
    return slow / np.abs(slow).max()


def _pulses(
    frames: int, size: float, rate_hz: float, width_s: float, generator: np.random.Generator
) -> np.ndarray:
    """(T,) bells at random times, up to `size` high."""
    times = np.arange(frames) / RATE
    count = max(1, generator.poisson(rate_hz * times[-1]))
    centres = generator.uniform(0, times[-1], count)
    heights = size * generator.uniform(0.3, 1.0, count)
    widths = width_s * generator.uniform(0.7, 1.5, count)
    bells = heights * np.exp(-0.5 * ((times[:, None] - centres) / widths) ** 2)
    return bells.max(1)


def _mouth(
    model: MorphableModel, identity: torch.Tensor, frames: int, generator: np.random.Generator
) -> np.ndarray:
    """(T, E) speech-like movement; lips meet now and then and never cross."""
    names = list(model.expression_names)
    units = np.zeros((frames, len(names)))
    times, looks = np.arange(frames) / RATE, _looks(frames, generator)
    loudness = generator.uniform(*LOUDNESS) * (1 + 0.3 * _wander(frames, 0.3, generator))
    spoken = blend_targets(looks, times) * loudness[:, None]
    jaw = spoken[:, UNITS.index("jawOpen")]
    jaw *= 1 + 0.4 * _wander(frames, 0.12, generator)
    jaw *= generator.uniform(*JAW) / jaw.max()
    for unit, amounts in zip(UNITS, spoken.T, strict=True):
        _add(units, names, unit, amounts, generator)
    for unit, (size, rate_hz) in MANNER.items():
        _add(units, names, unit, _pulses(frames, size, rate_hz, 0.2, generator), generator)
    rest, gains = lip_gap(model, identity)
    close = names.index("mouthClose")
    units = units.clip(0, 1)
    gap = rest + units @ gains
    # the resting lips touch: they come no nearer than that
    wanted = rest + np.maximum(gap - rest, 0) * (1 - lip_closure(looks, times))
    units[:, close] = ((wanted - gap) / gains[close]).clip(0, None)
    return units.clip(0, 1)


def _looks(frames: int, generator: np.random.Generator) -> list[Look]:
    """A language that nobody speaks: consonants and vowels in turn."""
    looks, time_s = [], 0.0
    while time_s < frames / RATE:
        sounds = CONSONANTS if len(looks) % 2 == 0 else VOWELS
        end_s = time_s + generator.uniform(*PHONE_S)
        looks.append(Look(time_s, end_s, str(generator.choice(sounds)), generator.uniform() < 0.3))
        time_s = end_s
    return looks


def _add(
    units: np.ndarray, names: list[str], unit: str, amounts: np.ndarray,
    generator: np.random.Generator,
) -> None:  # fmt: skip
    """Move a unit, or both sides of it, not quite alike."""
    sides = [unit] if unit in names else [f"{unit}Left", f"{unit}Right"]
    for side in sides:
        share = generator.uniform(0.75, 1.0) if len(sides) == 2 else 1.0
        units[:, names.index(side)] += amounts * share


def _upper(model: MorphableModel, frames: int, generator: np.random.Generator) -> np.ndarray:
    names = list(model.expression_names)
    units = np.zeros((frames, len(names)))
    for unit, (size, rate_hz) in UPPER.items():
        _add(units, names, unit, _pulses(frames, size, rate_hz, 0.25, generator), generator)
    blink = _pulses(frames, 1.0, 0.6, 0.05, generator)
    for side in ("Left", "Right"):
        units[:, names.index(f"eyeBlink{side}")] = blink
    return units.clip(0, 1)


def _head(frames: int, generator: np.random.Generator) -> np.ndarray:
    """(T, 3) radians: the yaw sweeps from side to side, pitch and roll wander."""
    share = np.arange(frames) / frames
    side = generator.choice([-1.0, 1.0])
    sweep = generator.uniform(0.75, 1.0) * YAW
    stop = generator.uniform(-0.6, 0.6)
    yaw = np.interp(share, [0, 0.12, 0.24, 0.33, 0.42, 0.66, BACK_END, 1],
                    [0, 0.4, -0.3, -0.2, -1, 1, stop, stop])  # fmt: skip
    yaw = side * sweep * gaussian_filter1d(yaw, 0.025 * frames, mode="nearest")
    pitch = PITCH * _wander(frames, 0.4, generator) * generator.uniform(0.6, 1)
    roll = ROLL * _wander(frames, 0.5, generator) * generator.uniform(0.6, 1)
    return np.radians(_stopped(np.stack([pitch, yaw, roll], -1), frames))


def _stopped(values: np.ndarray, frames: int) -> np.ndarray:
    """Hold values from the beginning of the still part on, coming to rest before it."""
    still = _parts(frames)[1]
    first = int(np.flatnonzero(still)[0])
    rest = values[first]
    ease = np.clip((first - np.arange(frames)) / (0.1 * frames), 0, 1)[:, None]
    ease = ease * ease * (3 - 2 * ease)
    return rest + (values - rest) * ease


def _light(frames: int, generator: np.random.Generator) -> np.ndarray:
    """(T, 3, 9) SH light: a dim surrounding and one or two lamps, in some clips moving."""
    tint = 1 + 0.08 * generator.standard_normal(3)
    ambient = generator.uniform(0.5, 0.9) * tint
    light = np.zeros((frames, 3, 9))
    light[:, :, 0] = ambient[None] / 0.28209479
    changing = generator.uniform() < CHANGING_SHARE
    for _ in range(generator.integers(1, 3)):
        strength = generator.uniform(0.2, 0.6)
        towards = np.array([generator.uniform(-1, 1), generator.uniform(-1, 0.3), -0.7])
        path = np.repeat(towards[None], frames, 0)
        power = np.full(frames, strength)
        if changing:
            path = path + np.stack([_wander(frames, 0.8, generator) for _ in range(3)], -1) * 0.5
            power = power * (1 + 0.5 * _wander(frames, 0.5, generator))
        path = path / np.linalg.norm(path, axis=1, keepdims=True)
        colour = 1 + 0.1 * generator.standard_normal(3)
        light += (power[:, None] * colour)[..., None] * lamp(path)[:, None]
    return light / (light[:, :, 0].mean() * 0.28209479) * generator.uniform(0.7, 0.95)


def lamp(directions: np.ndarray) -> np.ndarray:
    """The light of a lamp far away on a matt surface, in spherical harmonics.

    Args:
        directions: (..., 3) unit vectors towards the lamp.

    Returns:
        (..., 9) coefficients: bands 0 to 2 of max(0, cosine of the angle).

    Source: Ramamoorthi & Hanrahan 2001, eq. 8, divided by pi.
    """
    bands = np.pi * np.repeat([1.0, 2.0 / 3.0, 0.25], [1, 3, 5])
    return sh_basis(torch.from_numpy(directions)).numpy() * bands
