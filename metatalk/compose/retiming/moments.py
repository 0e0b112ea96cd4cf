"""Moments between two footage frames, where a plan would show else how it was put together."""

from __future__ import annotations

import numpy as np

_HELD = 0.5  # of the way to the next frame, the second time a frame is shown
# Of the way back, where the footage turns. Steps of 1, 1, -1, -1 over a turn become 1, 1/3, -1/3,
# -1: the head brakes on three frames, on each a third of what it did on one. Where it is held
# there, 1, 0, -1 become 1/2, 0, -1/2.
_TURNED, _TURNED_HELD = 2 / 3, 0.5


def half_steps(frames: np.ndarray, shots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let frames that are shown again stand half-way to the next one, and let turns be soft.

    Not before a jump, nor over a cut: there is nothing half-way to another strand.

    Args:
        frames: (N,) footage frames, none more than twice in a row.
        shots: (K, 2) first frame and one past the last.

    Returns:
        (N,) footage frames to go towards and (N,) float32 shares of the way, from 0 to 2/3.
    """
    towards, share = frames.copy(), np.zeros(len(frames), np.float32)
    shot = np.searchsorted(shots[:, 0], frames, side="right")

    def set_off(here: np.ndarray, to: np.ndarray, wanted: float) -> None:
        near = (np.abs(frames[to] - frames[here]) == 1) & (shot[to] == shot[here])
        towards[here[near]], share[here[near]] = frames[to[near]], wanted

    steps = np.diff(frames)
    held = np.flatnonzero(steps[:-1] == 0) + 1
    set_off(held, held + 1, _HELD)
    turned = np.flatnonzero((steps[1:] == -steps[:-1]) & (steps[1:] != 0)) + 1
    set_off(turned, turned + 1, _TURNED)
    both = np.flatnonzero((steps[1:-1] == 0) & (steps[2:] == -steps[:-2]) & (steps[2:] != 0)) + 1
    set_off(both, both + 2, _TURNED_HELD)
    return towards, share


def bridge_jumps(
    frames: np.ndarray, shots: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Spread jumps over frames that are morphed from the strand before to the strand after.

    Both strands go on in their direction under the morph, as far as their shot does.

    Args:
        frames: (N,) footage frames; neighbours that differ by more than one are a jump.
        shots: (K, 2) first frame and one past the last.
        width: frames that are morphed.

    Returns:
        (N,) footage frames to go towards and (N,) float32 shares of the way: half at most
        at a jump, two thirds at a turn.
    """
    towards, share = half_steps(frames, shots)
    steps = np.diff(frames)
    for landing in (np.flatnonzero(np.abs(steps) > 1) + 1).tolist():
        left, landed = int(frames[landing - 1]), int(frames[landing])
        # No frame is held more than once in a row: of two steps one goes somewhere.
        way_before = _way(steps[max(landing - 3, 0) : landing - 1][::-1])
        way_after = _way(steps[landing : landing + 2])
        middle = (width + 1) // 2
        for number in range(width):
            n, part = landing - middle + number, (number + 1) / (width + 1)
            if not 0 <= n < len(frames):
                continue
            eased = part * part * (3 - 2 * part)  # neither strand sets off with a jerk
            if n < landing:
                other, wanted = landed - way_after * (landing - n), eased
                home = landed
            else:
                other, wanted = left + way_before * (n - landing + 1), 1 - eased
                home = left
            first, end = shots[np.searchsorted(shots[:, 1], home, side="right")]
            towards[n], share[n] = np.clip(other, first, end - 1), wanted
    return towards, share


def _way(steps: np.ndarray) -> int:
    """Direction of the first step that is one; forwards where none is."""
    for step in steps.tolist():
        if abs(step) == 1:
            return int(step)
        if step != 0:
            break
    return 1
