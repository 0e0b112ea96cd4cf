"""From phones to what the mouth does: visemes, their targets and their coarticulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo_presenter.speech import Phone

# Activations of the face model's units; sides are alike. "close" brings the lips together
# whatever the jaw does, see `lips.py`.
UNITS = ("jawOpen", "mouthFunnel", "mouthPucker", "mouthSmile", "mouthStretch", "mouthLowerDown",
         "mouthUpperUp", "mouthPress", "mouthRollLower", "mouthRollUpper", "mouthShrugUpper",
         "tongueOut")  # fmt: skip
TARGETS: dict[str, dict[str, float]] = {
    "sil": {"jawOpen": 0.02},
    "PP": {"jawOpen": 0.08, "mouthPress": 0.30, "mouthRollLower": 0.12, "mouthRollUpper": 0.10},
    "FF": {"jawOpen": 0.05, "mouthRollLower": 0.60, "mouthUpperUp": 0.40, "mouthStretch": 0.15},
    "TH": {"jawOpen": 0.11, "mouthLowerDown": 0.30, "tongueOut": 0.30, "mouthUpperUp": 0.15},
    "DD": {"jawOpen": 0.10, "mouthLowerDown": 0.35, "mouthUpperUp": 0.50, "mouthStretch": 0.15},
    "kk": {"jawOpen": 0.14, "mouthLowerDown": 0.20, "mouthUpperUp": 0.30},
    "CH": {"jawOpen": 0.05, "mouthFunnel": 0.32, "mouthPucker": 0.35},
    "SS": {"jawOpen": 0.05, "mouthStretch": 0.30, "mouthSmile": 0.14, "mouthLowerDown": 0.45,
           "mouthUpperUp": 0.65},
    "RR": {"jawOpen": 0.11, "mouthFunnel": 0.22, "mouthPucker": 0.25},
    "aa": {"jawOpen": 0.32, "mouthLowerDown": 0.32, "mouthUpperUp": 0.62, "mouthStretch": 0.10},
    "AO": {"jawOpen": 0.34, "mouthFunnel": 0.22, "mouthPucker": 0.15},
    "ah": {"jawOpen": 0.22, "mouthLowerDown": 0.28, "mouthUpperUp": 0.45},
    "E": {"jawOpen": 0.21, "mouthStretch": 0.22, "mouthSmile": 0.16, "mouthLowerDown": 0.30,
          "mouthUpperUp": 0.65},
    "ih": {"jawOpen": 0.11, "mouthStretch": 0.28, "mouthSmile": 0.24, "mouthLowerDown": 0.34,
           "mouthUpperUp": 0.65},
    "@": {"jawOpen": 0.15, "mouthLowerDown": 0.20, "mouthUpperUp": 0.30},
    "ou": {"jawOpen": 0.10, "mouthFunnel": 0.20, "mouthPucker": 0.90},
}  # fmt: skip
# How firmly a viseme holds its shape against its neighbours, and how far it reaches (s).
STRENGTH = {"sil": 0.6, "PP": 1.5, "FF": 3.0, "SS": 1.6, "CH": 1.8, "ou": 1.8, "aa": 1.4,
            "AO": 1.4, "TH": 1.2, "E": 1.2, "ih": 1.1, "DD": 0.6, "kk": 0.35, "RR": 0.8,
            "@": 0.45, "ah": 1.0}  # fmt: skip
REACH_S = 0.062
# What a phone looks like, longest spelling first; a pair is a diphthong in two halves.
LOOKS: dict[str, tuple[str, ...]] = {
    "aI": ("aa", "aa", "ih"), "aU": ("aa", "aa", "ou"), "eI": ("E", "ih"), "oU": ("AO", "ou"),
    "OI": ("AO", "ih"), "e@": ("E", "@"), "i@": ("ih", "@"), "o@": ("AO", "RR"),
    "A@": ("aa", "RR"), "O@": ("AO", "RR"), "U@": ("ou", "@"), "tS": ("CH",), "dZ": ("CH",),
    "a": ("aa",), "A": ("aa",), "O": ("AO",), "0": ("AO",), "V": ("ah",), "E": ("E",),
    "e": ("E",), "I": ("ih",), "i": ("ih",), "u": ("ou",), "U": ("ou",), "w": ("ou",),
    "o": ("AO",), "@": ("@",), "3": ("RR",), "r": ("RR",), "p": ("PP",), "b": ("PP",),
    "m": ("PP",), "f": ("FF",), "v": ("FF",), "T": ("TH",), "D": ("TH",), "t": ("DD",),
    "d": ("DD",), "n": ("DD",), "l": ("DD",), "k": ("kk",), "g": ("kk",), "N": ("kk",),
    "h": ("@",), "s": ("SS",), "z": ("SS",), "S": ("CH",), "Z": ("CH",), "j": ("ih",),
    "?": ("@",), "_": ("sil",),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """A stretch of time in which the mouth means one shape."""

    start_s: float
    end_s: float
    viseme: str
    stressed: bool


def phone_visemes(name: str) -> tuple[str, ...]:
    """The visemes that a phone passes through, in order.

    Raises:
        KeyError: no spelling in the table begins the phone's name.
    """
    for length in range(min(3, len(name)), 0, -1):
        if name[:length] in LOOKS:
            return LOOKS[name[:length]]
    raise KeyError(f"no viseme for the phone {name!r}")


def main_viseme(name: str) -> str:
    """The viseme that stands for a phone in the table of phones."""
    return phone_visemes(name)[0]


def looks(phones: Sequence[Phone]) -> list[Look]:
    """Cut phones into looks; a diphthong's parts share its time."""
    parts = []
    for phone in phones:
        visemes = phone_visemes(phone.name)
        edges = np.linspace(phone.start_s, phone.end_s, len(visemes) + 1)
        parts += [
            Look(float(start), float(end), viseme, phone.stressed)
            for start, end, viseme in zip(edges[:-1], edges[1:], visemes, strict=True)
        ]
    return parts


def blend_targets(parts: Sequence[Look], times: np.ndarray) -> np.ndarray:
    """Blend the targets of all looks by their dominance.

    Args:
        parts: in order of time.
        times: (N,) seconds.

    Returns:
        (N, len(UNITS)) activations.

    Source: Cohen & Massaro 1993, eq. 3-5. Departs: a look holds its full dominance while
        it lasts, and falls off outside it like a Gaussian in place of an exponential.
    """
    total = np.full(len(times), 1e-6)
    blended = np.zeros((len(times), len(UNITS)))
    for part in parts:
        target = np.array([TARGETS[part.viseme].get(unit, 0.0) for unit in UNITS])
        gain = 1.15 if part.stressed and part.viseme not in ("PP", "FF", "sil") else 1.0
        weight = STRENGTH[part.viseme] * _bump(times, part.start_s, part.end_s, REACH_S)
        total += weight
        blended += weight[:, None] * target * gain
    return blended / total[:, None]


def lip_closure(parts: Sequence[Look], times: np.ndarray) -> np.ndarray:
    """(N,) how far the lips are drawn together: 1 in p, b, m and in silence, else 0.

    The ramps into and out of a closure lie outside the sound itself, as they do in speech:
    the lips meet as it begins.
    """
    closure = _held(parts, times, "PP", 0.065)
    for part in parts:
        if part.viseme == "sil" and part.end_s - part.start_s > 0.12:
            start_s = part.start_s + 0.10 if part.start_s > 0 else -1.0
            closure = np.maximum(closure, _ramp(times, start_s, part.end_s, 0.10))
    return closure


def lip_on_teeth(parts: Sequence[Look], times: np.ndarray) -> np.ndarray:
    """(N,) how far the lower lip is drawn to the upper teeth: 1 in f and v, else 0."""
    return _held(parts, times, "FF", 0.075)


def _held(parts: Sequence[Look], times: np.ndarray, viseme: str, ramp_s: float) -> np.ndarray:
    """(N,) 1 while a viseme lasts, for at least 60 ms, with ramps before and after."""
    held = np.zeros(len(times))
    for part in parts:
        if part.viseme == viseme:
            middle = (part.start_s + part.end_s) / 2
            half = max(0.030, (part.end_s - part.start_s) / 2 - 0.008)
            held = np.maximum(held, _ramp(times, middle - half, middle + half, ramp_s))
    return held


def _outside(times: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    return np.maximum(np.maximum(start_s - times, times - end_s), 0.0)


def _bump(times: np.ndarray, start_s: float, end_s: float, reach_s: float) -> np.ndarray:
    inset = 0.25 * (end_s - start_s)
    distance = _outside(times, start_s + inset, end_s - inset)
    return np.exp(-((distance / reach_s) ** 2))


def _ramp(times: np.ndarray, start_s: float, end_s: float, ramp_s: float) -> np.ndarray:
    share = np.clip(1.0 - _outside(times, start_s, end_s) / ramp_s, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
