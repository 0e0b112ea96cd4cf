"""From one frame of the result to the next: what the search for a walk spends its time in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from metatalk.compose.retiming.walk_steps import (
    FREE,
    HELD,
    LIMIT,
    NEVER,
    RING,
    SUM,
    UNIT,
    Steps,
)

# How a frame is reached, in six bits of a byte: by a turn, by one of the jumps, by going on. A walk
# that turned or jumped before has grown free instead. The other two bits tell of the walks of the
# frame before: that the one that stood at this footage frame had held (told of both directions),
# that the one which would go on to it runs backwards (told in the row of the first direction).
_TURN, _GROWN, _JUMP, _ON, _BACKWARDS, _HAD_HELD = 0, 0, 1, 63, 64, 128
MOST_SOURCES = _ON - _JUMP


def advance(state: np.ndarray, node: np.ndarray, first: int, steps: Steps, back: np.ndarray) -> int:
    """Go on, in place, by some frames of the result.

    Args:
        state: see `begin`.
        node: (n, T) float32 costs of showing each footage frame.
        first: the first of these frames of the result.
        steps: what the steps cost.
        back: (n, 2, 2 or 1, P) uint8 gets the steps; no rows: they are not wanted.

    Returns:
        Units that were taken off all costs.
    """
    taken: int = _advance(
        state, node, first, steps.run, steps.most, steps.shots, steps.hold, steps.turn,
        steps.targets, steps.ranks, steps.sources, steps.jump, back,
    )  # fmt: skip
    return taken


def trace(
    back: np.ndarray, steps: Steps, row: int, place: int, places: np.ndarray
) -> tuple[int, int]:
    """Fill in a stretch from its last frame on.

    Args:
        back: (n, 2, 2 or 1, P) as `advance` left it.
        steps: what the steps cost.
        row: of the last frame, see `best_end`.
        place: of the last frame.
        places: (n,) gets them.

    Returns:
        The row and place before the stretch's first frame.
    """
    way = _trace(back, steps.run, steps.targets, steps.ranks, steps.sources, row, place, places)
    return int(way[0]), int(way[1])


@njit(cache=True, nogil=True)
def _advance(
    state: Any,
    node: Any,
    first: int,
    run: int,
    most: int,
    shots: Any,
    hold: Any,
    turn: Any,
    targets: Any,
    ranks: Any,
    sources: Any,
    jump: Any,
    back: Any,
) -> int:
    places, guard, taken = state.shape[2], max(run, 1), 0
    inner = slice(guard, places - guard)
    least = np.full((2, places), NEVER, np.int32)
    arriving, landed = np.full(places, NEVER, np.int32), np.full(places, NEVER, np.int32)
    source, shown = np.zeros(places, np.uint8), np.zeros(places, np.int32)
    so_far = np.empty(places, np.int32)
    tried, best = np.empty((2, len(targets)), np.int32)
    chosen = np.zeros(len(targets), np.uint8)
    for n in range(len(node)):
        for way in range(2):
            _least(state[way, FREE], state[way, HELD], least[way])
        low = min(_lowest(least[0]), _lowest(least[1]))
        low = 0 if low >= LIMIT else low  # all walks are in a run
        taken += low
        _count(node[n], most, low, shots, shown)
        if len(jump):
            _least(least[0, guard - 1 : places - guard - 1],
                   least[1, guard + 1 : places - guard + 1], arriving[inner])  # fmt: skip
            noted = chosen[: len(chosen) if len(back) else 0]
            _land(arriving, ranks, sources, jump, tried, best, noted)
            for k in range(len(targets)):
                landed[targets[k]] = best[k]
            for k in range(len(noted)):
                source[targets[k]] = np.uint8(_JUMP + chosen[k])
        if len(back):
            note = back[n, :, back.shape[2] - 1]
            note[:] = 0
            _note_before(state, least, inner, note)
        for way in range(2):
            step, new = 1 - 2 * way, state[way]
            earlier = slice(guard - step, places - guard - step)
            going, other = least[way, earlier], least[1 - way, earlier]
            turning, here, landing = turn[way, earlier], shown[inner], landed[inner]
            so_far[:] = new[SUM]
            before = so_far[earlier]
            _sum(new[FREE, inner], hold[inner], here, new[HELD, inner])
            if run > 0:
                far = slice(guard - step * run, places - guard - step * run)
                grown = new[RING + (first + n - run) % (run + 1), far]
                entered = new[RING + (first + n) % (run + 1), inner]
                if len(back):
                    _note_entered(other, turning, landing, source[inner], back[n, way, 0, inner])
                    _note_free(going, grown, before, back[n, way, 1, inner])
                _enter(other, turning, landing, before, entered)
                _go_on(going, grown, before, here, new[FREE, inner])
            else:
                if len(back):
                    _note_set_off(
                        going, other, turning, landing, source[inner], back[n, way, 0, inner]
                    )
                _set_off(going, other, turning, landing, here, new[FREE, inner])
            _close(new[FREE], shots, guard)
            _add(before, here, new[SUM, inner])
    return taken


# One array is written in each of these loops: a compiler does several places of them at a time.


@njit(cache=True, nogil=True)
def _least(one: Any, other: Any, out: Any) -> None:
    for p in range(len(out)):
        out[p] = one[p] if one[p] < other[p] else other[p]


@njit(cache=True, nogil=True)
def _lowest(values: Any) -> Any:
    low = NEVER
    for p in range(len(values)):
        low = values[p] if values[p] < low else low
    return low


@njit(cache=True, nogil=True)
def _add(one: Any, other: Any, out: Any) -> None:
    for p in range(len(out)):
        out[p] = np.int32(one[p] + other[p])


@njit(cache=True, nogil=True)
def _sum(one: Any, other: Any, third: Any, out: Any) -> None:
    for p in range(len(out)):
        out[p] = np.int32(np.int32(one[p] + other[p]) + third[p])


@njit(cache=True, nogil=True)
def _count(node: Any, most: int, low: int, shots: Any, shown: Any) -> None:
    """Costs of a frame of the result in units, less what is taken off; guards cost nothing."""
    scale, top, less = np.float32(1 / UNIT), np.float32(most), np.int32(low)
    for k in range(len(shots)):
        some, out = node[shots[k, 2] :], shown[shots[k, 0] : shots[k, 1]]
        for p in range(len(out)):
            units = np.floor(some[p] * scale + np.float32(0.5))
            units = top if units > top else (-top if units < -top else units)
            out[p] = np.int32(np.int32(units) - less)


@njit(cache=True, nogil=True)
def _close(free: Any, shots: Any, guard: int) -> None:
    """No walk is in a guard."""
    for k in range(len(shots)):
        free[shots[k, 0] - guard : shots[k, 0]] = NEVER
        free[shots[k, 1] : shots[k, 1] + guard] = NEVER


@njit(cache=True, nogil=True)
def _enter(other: Any, turn: Any, landed: Any, so_far: Any, entered: Any) -> None:
    """Turn or jump to each place; its own cost and those before it on its diagonal go off."""
    for p in range(len(entered)):
        came = np.int32(other[p] + turn[p])
        came = came if came < landed[p] else landed[p]
        came = came if came < LIMIT else NEVER
        entered[p] = np.int32(came - so_far[p])


@njit(cache=True, nogil=True)
def _go_on(on: Any, grown: Any, so_far: Any, shown: Any, free: Any) -> None:
    """Be free: by going on, or at the end of a run."""
    for p in range(len(free)):
        grew = np.int32(grown[p] + so_far[p])
        came = np.int32((grew if grew < on[p] else on[p]) + shown[p])
        free[p] = came if came < LIMIT else NEVER


@njit(cache=True, nogil=True)
def _set_off(on: Any, other: Any, turn: Any, landed: Any, shown: Any, free: Any) -> None:
    """Be free, where no run follows a turn or a jump."""
    for p in range(len(free)):
        came = np.int32(other[p] + turn[p])
        came = came if came < landed[p] else landed[p]
        came = np.int32((came if came < on[p] else on[p]) + shown[p])
        free[p] = came if came < LIMIT else NEVER


@njit(cache=True, nogil=True)
def _land(
    arriving: Any, ranks: Any, sources: Any, jump: Any, tried: Any, best: Any, chosen: Any
) -> None:
    """The cheapest jump to each target before its own cost, and which of its jumps that is."""
    best[:] = NEVER
    for j in range(len(ranks) - 1):
        some, paid = sources[ranks[j] : ranks[j + 1]], jump[ranks[j] : ranks[j + 1]]
        for k in range(len(some)):
            tried[k] = np.int32(arriving[some[k]] + paid[k])
        if len(chosen):
            rank = np.uint8(j)
            for k in range(len(some)):
                before = chosen[k]
                chosen[k] = rank if tried[k] < best[k] else before
        _least(best[: len(some)], tried[: len(some)], best[: len(some)])


@njit(cache=True, nogil=True)
def _note_before(state: Any, least: Any, inner: Any, notes: Any) -> None:
    """Which of the walks of the frame before are the cheaper ones."""
    for way in range(2):
        _note_least(state[way, HELD, inner], state[way, FREE, inner], _HAD_HELD, notes[way, inner])
    size, first = notes[0, inner].size, inner.start
    _note_least(
        least[1, first + 1 : first + 1 + size],
        least[0, first - 1 : first - 1 + size],
        _BACKWARDS,
        notes[0, inner],
    )


@njit(cache=True, nogil=True)
def _note_entered(other: Any, turn: Any, landed: Any, source: Any, back: Any) -> None:
    for p in range(len(back)):
        turned = np.int32(other[p] + turn[p])
        leap = source[p]
        back[p] |= np.uint8(_TURN) if turned < landed[p] else leap


@njit(cache=True, nogil=True)
def _note_free(on: Any, grown: Any, so_far: Any, back: Any) -> None:
    for p in range(len(back)):
        grew = np.int32(grown[p] + so_far[p])
        back[p] |= np.uint8(_ON) if on[p] <= grew else np.uint8(_GROWN)


@njit(cache=True, nogil=True)
def _note_set_off(on: Any, other: Any, turn: Any, landed: Any, source: Any, back: Any) -> None:
    for p in range(len(back)):
        turned = np.int32(other[p] + turn[p])
        came = turned if turned < landed[p] else landed[p]
        leap = source[p]
        how = np.uint8(_TURN) if turned < landed[p] else leap
        back[p] |= np.uint8(_ON) if on[p] <= came else how


@njit(cache=True, nogil=True)
def _note_least(one: Any, other: Any, bit: int, back: Any) -> None:
    for p in range(len(back)):
        back[p] |= np.uint8(bit) if one[p] <= other[p] else np.uint8(0)


@njit(cache=True, nogil=True)
def _trace(
    back: Any,
    run: int,
    targets: Any,
    ranks: Any,
    sources: Any,
    row: int,
    place: Any,
    places: Any,
) -> Any:
    side, last = run + 2, back.shape[2] - 1
    for n in range(len(back) - 1, -1, -1):
        places[n] = place
        way, age = row // side, row % side
        if age == run + 1:  # held
            row -= 1
            continue
        came, source = way, place
        how = back[n, way, 0 if age == 0 else last, place] & _ON
        if 0 < age < run or (age == run > 0 and how == _GROWN):
            row, place = row - 1, place - (1 - 2 * way)
            continue
        if how == _TURN:
            came = 1 - way
            place -= 1 - 2 * way
        else:
            if how != _ON:
                number = 0
                while targets[number] != place:
                    number += 1
                source = np.int64(sources[ranks[how - _JUMP] + number])
                came = 1 if back[n, 0, last, source] & _BACKWARDS else 0
            place = source - (1 - 2 * came)
        row = came * side + run + (1 if back[n, came, last, place] & _HAD_HELD else 0)
    return row, place
