"""Edited curves read back: our CSV and JSON, and Live Link Face's CSV."""

from __future__ import annotations

import difflib
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np

from metatalk.errors import CurvesError
from metatalk.interchange.arkit import HEADER
from metatalk.interchange.curves import OTHER_COLUMNS, ROTATION_COLUMNS, TRANSLATION_COLUMNS
from metatalk.interchange.edits import Edits
from metatalk.interchange.tables import Table, read_table
from metatalk.interchange.timecode import read_timecodes
from metatalk.morphable.model import MorphableModel

LOG = logging.getLogger(__name__)
_FAR_OUTSIDE = 0.25  # a fit may leave [0, 1] a little, an edit in percent leaves it far
_ALIKE = 0.8  # as alike as a slip of the keyboard leaves two names
_COUNT = "BlendShapeCount"


def read_curves(path: Path, model: MorphableModel, rate: Fraction | None = None) -> Edits:
    """Read curves that were edited elsewhere.

    Columns may be missing and in any order: what is not there is not edited. Rows may be at any
    rate and in any order; their `time_s` says when they are. Of Live Link Face's CSV the units
    are read, and the angles, which belong to another camera, are not.

    Args:
        path: CSV or JSON as `metatalk export` writes it, or Live Link Face's CSV.
        model: the face model whose expression it is.
        rate: frames a second of time codes where they do not tell (Live Link Face only).

    Returns:
        The curves.

    Raises:
        CurvesError: the file, a row or a column cannot be used; the message says which.
    """
    table = read_table(path)
    live_link = table.find(_COUNT) is not None
    if live_link:
        table = _without_lost_rows(table)
    columns = _unit_columns(table, model)
    seconds = _live_link_seconds(table, rate) if live_link else _seconds(table)
    order = np.argsort(seconds, kind="stable")
    _refuse_same_times(table, seconds, order)
    values = np.stack([table.numbers(own) for own in columns.values()], axis=-1)
    _warn_of_extremes(table, tuple(columns), values, model)
    vectors = None if live_link else _vector(table, ROTATION_COLUMNS)
    places = None if live_link else _vector(table, TRANSLATION_COLUMNS)
    shot = table.find("shot")
    return Edits(
        seconds[order],
        tuple(columns),
        values[order],
        np.radians(vectors[order]) if vectors is not None else None,
        places[order] if places is not None else None,
        table.numbers(shot)[order].astype(np.int64) if shot else None,
    )


def _unit_columns(table: Table, model: MorphableModel) -> dict[str, str]:
    """Name of the face model -> name of the column."""
    known = {name.lower(): name for name in model.expression_names}
    others = {name.lower() for name in ("time", *OTHER_COLUMNS, *HEADER)}
    columns, ignored = {}, []
    for own in table.columns:
        if own.lower() in known:
            columns[known[own.lower()]] = own
        elif own.lower() not in others:
            _refuse_slip(table, own, model)
            ignored.append(own)
    if ignored:
        LOG.warning("%s: columns without a meaning here: %s", table.source, ", ".join(ignored))
    if not columns:
        raise CurvesError(
            f"{table.source}: no column is a unit of the face model {model.source}",
            f"name columns as metatalk export does: {', '.join(model.expression_names[:3])}, ...",
        )
    return columns


def _refuse_slip(table: Table, own: str, model: MorphableModel) -> None:
    known = {name.lower(): name for name in model.expression_names}
    close = difflib.get_close_matches(own.lower(), known, n=1, cutoff=_ALIKE)
    if close:
        raise CurvesError(
            f"{table.source}: the face model has no unit {own!r}",
            f"did you mean {known[close[0]]}?",
        )


def _seconds(table: Table) -> np.ndarray:
    own = table.find("time_s")
    if own is None:
        raise CurvesError(
            f"{table.source}: has no column time_s",
            "keep that column: it says when each row is, in seconds from the first frame",
        )
    seconds = table.numbers(own)
    if (early := np.flatnonzero(seconds < 0)).size:
        LOG.warning(
            "%s: %s is at %g s; second 0 is the first frame, and what is before it is not shown",
            table.source,
            table.places[early[0]],
            seconds[early[0]],
        )
    return seconds


def _live_link_seconds(table: Table, rate: Fraction | None) -> np.ndarray:
    own = table.find("Timecode")
    if own is None:
        raise CurvesError(
            f"{table.source}: has no column Timecode", "record it once more, or add time codes"
        )
    places = [f"{table.source}: {place}, {own}" for place in table.places]
    return read_timecodes([str(word) for word in table.columns[own]], places, rate)


def _without_lost_rows(table: Table) -> Table:
    """Leave out the rows in which the app had lost the face: they count no units."""
    counted = table.numbers(str(table.find(_COUNT)))
    kept = np.flatnonzero(counted > 0)
    if not len(kept):
        raise CurvesError(f"{table.source}: no row holds a face", "record it once more")
    columns = {name: [cells[row] for row in kept] for name, cells in table.columns.items()}
    return Table(table.source, columns, [table.places[row] for row in kept])


def _refuse_same_times(table: Table, seconds: np.ndarray, order: np.ndarray) -> None:
    same = np.flatnonzero(np.diff(seconds[order]) <= 0)
    if len(same):
        first, second = (table.places[order[same[0] + step]] for step in (0, 1))
        raise CurvesError(
            f"{table.source}: {first} and {second} are both at {seconds[order[same[0]]]:.6f} s",
            "remove one of them, or correct its time",
        )


def _vector(table: Table, names: tuple[str, ...]) -> np.ndarray | None:
    """(N, 3) of three columns; None where none is there."""
    found = [own for name in names if (own := table.find(name)) is not None]
    if not found:
        return None
    if len(found) < len(names):
        missing = next(name for name in names if table.find(name) is None)
        raise CurvesError(
            f"{table.source}: has {found[0]} but no column {missing}",
            "keep all three columns, or remove them all to keep what was fitted",
        )
    return np.stack([table.numbers(own) for own in found], axis=-1)


def _warn_of_extremes(
    table: Table, names: tuple[str, ...], values: np.ndarray, model: MorphableModel
) -> None:
    if not model.has_units:
        return
    outside = np.maximum(values - 1.0, -values)  # how far beyond 0 or 1
    row, column = np.unravel_index(int(outside.argmax()), outside.shape)
    if outside[row, column] > _FAR_OUTSIDE:
        LOG.warning(
            "%s: %s, %s is %.3g; units run from 0 to 1 (%d values lie far outside)",
            table.source,
            table.places[row],
            names[column],
            values[row, column],
            int((outside > _FAR_OUTSIDE).sum()),
        )
