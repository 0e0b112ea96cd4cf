"""Measure the way from sound to mouth on fitted footage, as markdown tables.

python tools/benchmark_a2e.py networks FIT... [--only tcn,bilstm] [--features mel+speech]
python tools/benchmark_a2e.py curve FIT [--seconds 20,60,125] [--test-from 125]
python tools/benchmark_a2e.py voices FIT OTHER... [--leave-one-out [--pooled]]
python tools/benchmark_a2e.py features FIT OTHER... [--sets mel,mel+speech]
python tools/benchmark_a2e.py lookahead FIT [--ms 0,50,100,200,400]
python tools/benchmark_a2e.py silence FIT [RECORDING...]

A FIT is a folder in which a clip has been fitted (`tools/fit_3dmm.py`), or a clip, which is then
fitted into --cache. Settings are words such as a2e.kernel.share=0. Every model is trained as the
product trains, and asked about speech it never heard: the clip's end (from --test-from on, else
its last fifth; with --folds 5 each fifth in turn), or other people. Errors are in millimetres of
lip movement per mouth coordinate at the video's frames; r is that of the lips' gap, down the face
and below 0 where they press, and of the mouth's width. Other people are held against their own
fitted mouths; each clip's sound is moved by its own measured offset, or all by --offset. Times
are processor time, so that other work on the machine does not count; `ms hearing` is what the
features of the minute took.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir

import torch
from a2e_trials import tables
from a2e_trials.footage import Filmed, read_filmed
from a2e_trials.tables import ALONE, FEATURES, Cut, Fold, Row
from a2e_trials.trial import Bench

from metatalk.a2e.architectures.choice import NETWORKS
from metatalk.config import load_config
from metatalk.errors import ConfigError, MetatalkError

_DECIMALS = {"MSE": 4, "MAE": 4, "r ": 3, "energy": 5, "in ": 2}  # by how a column begins
_WITHOUT = ("worst ", "unheard ")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        argv: the words after the program's name; None: those of this process.

    Returns:
        Exit code: 0; 2 for what the user can mend.
    """
    asked = _read_words(sys.argv[1:] if argv is None else list(argv))
    torch.set_num_threads(1)
    try:
        rows = _print_table(_rows(asked))
    except MetatalkError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.json:
        asked.json.write_text(json.dumps(_plain(rows), indent=1, ensure_ascii=False) + "\n")
    return 0


def _read_words(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="table", required=True)
    chosen = {name: commands.add_parser(name, help=text) for name, text in _COMMANDS.items()}
    chosen["networks"].add_argument("--features", help="the same for all, joined by +")
    chosen["networks"].add_argument("--only", default=",".join([*NETWORKS, ALONE]))
    chosen["curve"].add_argument("--seconds", default="20,60,125", help="lengths of footage")
    chosen["voices"].add_argument("--leave-one-out", action="store_true", help="each in turn")
    chosen["voices"].add_argument("--pooled", action="store_true", help="learn from all others")
    chosen["features"].add_argument("--sets", default=",".join(FEATURES))
    chosen["lookahead"].add_argument("--ms", default="0,50,100,200,400")
    chosen["silence"].add_argument(
        "--settled", type=float, default=0.5, help="seconds from any speech that silence begins"
    )
    for name in ("networks", "features", "lookahead"):
        chosen[name].add_argument(
            "--folds", type=int, help="so many stretches asked about in turn; their mean"
        )
    for name, command in chosen.items():
        command.add_argument("words", nargs="+", metavar="FIT|KEY=VALUE")
        if name not in ("curve", "silence"):
            command.add_argument("--train-to", type=float, help="second up to which is learned")
        if name != "silence":
            command.add_argument("--test-from", type=float, help="second from which is asked")
        command.add_argument("--offset", type=float, help="seconds all sound comes late")
        command.add_argument("--json", type=Path, help="write the rows there, too")
        kept = Path(gettempdir()) / "metatalk-a2e-trials"
        command.add_argument("--cache", type=Path, default=kept, help="where clips are fitted")
    asked, more = parser.parse_known_args(argv)
    if any(word.startswith("-") for word in more):
        parser.error(f"unknown: {' '.join(more)}")
    asked.words += more  # words behind an option
    return asked


_COMMANDS = {
    "networks": "the field's networks on the same footage",
    "curve": "how much footage is needed",
    "voices": "voices that were never heard",
    "features": "which streams of features help",
    "lookahead": "what a live stream loses",
    "silence": "how restless the mouth is where nobody speaks",
}


def _rows(asked: argparse.Namespace) -> Iterable[Row]:
    """What was asked for, row by row."""
    settings = [word for word in asked.words if "=" in word and not Path(word).exists()]
    sources = [Path(word) for word in asked.words if word not in settings]
    if not sources:
        raise ConfigError("no footage was named", "Give the folder of a fitted clip, or a clip.")
    bench = Bench.open(load_config(words=settings), asked.offset)
    fits = sources[:1] if asked.table == "silence" else sources
    films = [read_filmed(source, asked.cache) for source in fits]
    if asked.table == "silence":
        return tables.silence(bench, films[0], sources[1:], asked.settled)
    folds = vars(asked).get("folds")
    if folds is None:
        return _table(asked, bench, films, _cut(asked, films[0]))
    if folds < 2:
        raise ConfigError(f"--folds is {folds}", "Give 2 or more, such as 5.")
    cuts = [Fold(number, folds) for number in range(folds)]
    return tables.averaged([list(_table(asked, bench, films, cut)) for cut in cuts])


def _table(
    asked: argparse.Namespace, bench: Bench, films: Sequence[Filmed], cut: Cut | None
) -> Iterator[Row]:
    """The table of footage that is parted in one way."""
    first, others = films[0], films[1:]
    match asked.table:
        case "networks":
            return tables.networks(bench, films, cut, asked.features, asked.only)
        case "curve":
            start = tables.default_cut(first)[1] if asked.test_from is None else asked.test_from
            return tables.curve(bench, first, _numbers(asked.seconds), start)
        case "features":
            return tables.features(bench, first, others, cut, asked.sets.split(","))
        case "lookahead":
            return tables.lookahead(bench, first, _numbers(asked.ms), cut)
    if asked.leave_one_out or asked.pooled:
        return tables.leave_one_out(bench, films, asked.pooled)
    _require_others(others)
    return tables.voices(bench, first, others, cut)


def _cut(asked: argparse.Namespace, film: Filmed) -> Cut | None:
    """Where footage is parted; None: nothing was said."""
    given: dict[str, float | None] = vars(asked)
    stop, start = given.get("train_to"), given.get("test_from")
    if stop is None and start is None:
        return None
    if start is None:
        start = max(stop or 0.0, tables.default_cut(film)[1])
    stop = start if stop is None else stop
    if stop > start:
        raise ConfigError(
            f"what is asked from second {start:g} on is learned from up to second {stop:g}",
            "Give a --train-to that is not above --test-from.",
        )
    return stop, start


def _require_others(others: Sequence[Filmed]) -> None:
    if not others:
        raise ConfigError("there is no other voice to ask about", "Name other fitted clips.")


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise ConfigError(f"{words!r} are no numbers", "Part them by commas: 20,60.") from error


def _print_table(rows: Iterable[Row]) -> list[Row]:
    """Print a row as soon as it is there; a column that a row lacks gets a dash."""
    printed: list[Row] = []
    for row in rows:
        if not printed:
            head = list(row)
            print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
        print(f"| {' | '.join(_cell(name, row.get(name, '–')) for name in head)} |", flush=True)
        printed.append(row)
    return printed


def _plain(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Rows as JSON can hold them: what is not a number is null."""
    return [
        {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in row.items()
        }
        for row in rows
    ]


def _cell(column: str, value: str | float) -> str:
    """A value with as many decimals as its column bears."""
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "–"
    for prefix in _WITHOUT:
        column = column.removeprefix(prefix)
    if column.endswith("×"):
        return f"{value:.3g}"
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    decimals = next((n for start, n in _DECIMALS.items() if column.startswith(start)), 1)
    return f"{value:.{decimals}f}"


if __name__ == "__main__":
    raise SystemExit(main())
