"""Shape checks written the way docstrings write shapes."""

from __future__ import annotations

from typing import Any

from metatalk.errors import ShapeError


def check_shape(name: str, array: Any, pattern: str, **known: int) -> dict[str, int]:
    """Check an array's shape against a pattern of letters, numbers and an ellipsis.

    Args:
        name: what the array is called in the message.
        array: anything with a `shape` (NumPy array, torch tensor, memory map).
        pattern: axes parted by spaces: a number must match exactly, a name must match
            itself wherever it comes again, a leading `...` stands for any leading axes.
        known: sizes of names that are already known.

    Returns:
        The size of every named axis, the known ones included.

    Raises:
        ShapeError: the shape does not match.

    >>> import numpy as np
    >>> check_shape("points", np.zeros((5, 3)), "T 3")
    {'T': 5}
    """
    shape, axes = tuple(array.shape), pattern.split()
    sizes = dict(known)
    if axes and axes[0] == "...":
        axes = axes[1:]
        if len(shape) < len(axes):
            raise _mismatch(name, shape, pattern, known)
        shape = shape[len(shape) - len(axes) :]
    if len(shape) != len(axes):
        raise _mismatch(name, shape, pattern, known)
    for size, axis in zip(shape, axes, strict=True):
        # no int(): a size that torch.export leaves open would be pinned by it
        expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
        if expected != size:
            raise _mismatch(name, tuple(array.shape), pattern, known)
    return sizes


def _mismatch(name: str, shape: tuple[int, ...], pattern: str, known: dict[str, int]) -> ShapeError:
    where = "".join(f", {key}={value}" for key, value in known.items())
    return ShapeError(f"{name} has shape {shape}, not ({pattern}{where})")
