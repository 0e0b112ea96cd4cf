"""Tables as spreadsheets and scripts leave them: named columns, and where each row stands."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.errors import CurvesError

_AXES = ("x", "y", "z")
_LARGEST_BYTES = 1 << 30  # more than a day of curves: something else was given


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length."""

    source: str  # the file, for messages
    columns: Mapping[str, list[Any]]  # by name as written; cells are words or numbers
    places: list[str]  # (N) where each row stands, for messages: "row 17", "frame 15"

    def __len__(self) -> int:
        return len(self.places)

    def find(self, name: str) -> str | None:
        """The column of this name, however it is capitalised; None where there is none."""
        return next((own for own in self.columns if own.lower() == name.lower()), None)

    def numbers(self, name: str) -> np.ndarray:
        """A column's values.

        Args:
            name: a column, as it is written.

        Returns:
            (N,) float64, finite.

        Raises:
            CurvesError: a cell is empty or holds no number.
        """
        cells = zip(self.columns[name], self.places, strict=True)
        return np.array([self._number(cell, f"{place}, {name}") for cell, place in cells])

    def _number(self, cell: Any, place: str) -> float:
        try:
            value = float(cell) if not isinstance(cell, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            said = "empty" if cell is None or cell == "" else f"{cell!r}, which is not a number"
            raise CurvesError(
                f"{self.source}: {place}: the cell is {said}",
                "write a number such as 0.25, or remove the whole column to keep what was fitted",
            )
        return value


def read_table(path: Path) -> Table:
    """Read a table of curves.

    Args:
        path: JSON as `write_json` leaves it, else CSV: parted by commas, tabs or semicolons,
            with decimal commas where semicolons part the columns.

    Returns:
        The table.

    Raises:
        CurvesError: no such file, or one that holds no table.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise CurvesError(f"{path} is larger than curves are", "give the file of the curves")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CurvesError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    except UnicodeDecodeError as error:
        raise CurvesError(f"{path}: is not text", "save it as CSV in UTF-8") from error
    table = _from_json(path, text) if path.suffix.lower() == ".json" else _from_csv(path, text)
    if not len(table):
        raise CurvesError(f"{path}: holds no rows of values", "export the curves once more")
    return table


def _from_csv(path: Path, text: str) -> Table:
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=mark))
    except csv.Error as error:
        raise CurvesError(f"{path}: is not CSV ({error})", "save it as CSV in UTF-8") from error
    if not rows:
        raise CurvesError(f"{path}: is empty", "export the curves once more")
    header = [name.strip() for name in rows[0]]
    _refuse_doubles(path, [name for name in header if name])
    body = [(number, row) for number, row in enumerate(rows[1:], 2) if any(map(str.strip, row))]
    _refuse_longer_rows(path, body, len(header))
    padded = [[cell.strip() for cell in row] + [""] * len(header) for _, row in body]
    if mark == ";":
        padded = [[cell.replace(",", ".") for cell in row] for row in padded]
    columns = {name: [row[place] for row in padded] for place, name in enumerate(header) if name}
    return Table(str(path), columns, [f"row {number}" for number, _ in body])


def _refuse_longer_rows(path: Path, body: list[tuple[int, list[str]]], columns: int) -> None:
    """A decimal comma between commas parts one number into two, and moves all that follow."""
    for number, row in body:
        if any(map(str.strip, row[columns:])):
            raise CurvesError(
                f"{path}: row {number} has {len(row)} cells, the first row names {columns} columns",
                "write decimals with a point; with decimal commas, part the columns by semicolons",
            )


def _refuse_doubles(path: Path, names: list[str]) -> None:
    lowered = [name.lower() for name in names]
    twice = next((name for name in names if lowered.count(name.lower()) > 1), None)
    if twice is not None:
        raise CurvesError(
            f"{path}: there are two columns {twice!r}", "remove or rename one of them"
        )


def _from_json(path: Path, text: str) -> Table:
    try:
        content = json.loads(text)
        frames = [_flattened(frame) for frame in content["frames"]]
    except ValueError as error:
        raise CurvesError(f"{path}: is not JSON ({error})", "mend it, or export again") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CurvesError(
            f"{path}: holds no list of frames",
            'write it as metatalk export does: {"frames": [{"time_s": 0, "expression": {...}}]}',
        ) from error
    names = dict.fromkeys(name for frame in frames for name in frame)
    columns = {name: [frame.get(name) for frame in frames] for name in names}
    return Table(str(path), columns, [f"frame {number}" for number in range(len(frames))])


def _flattened(frame: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in frame.items() if not isinstance(value, list | dict)}
    for name, unit in (("rotation", "deg"), ("translation", "mm")):
        # Whatever lacks an axis here has an empty cell there, and is refused with its frame.
        vector = zip(_AXES, frame.get(f"{name}_{unit}") or [], strict=False)
        flat |= {f"{name}_{axis}_{unit}": value for axis, value in vector}
    return flat | dict(frame.get("expression", {}))
