"""What the user sees: log lines, progress bars, results, errors."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ParamSpec

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from metatalk.errors import MetatalkError
from metatalk.stages.stage import Progress, ProgressFactory

EXIT_MENDABLE = 2
EXIT_INTERRUPTED = 130

P = ParamSpec("P")


def answering_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: what the user can mend ends in one remedy, our bugs in a traceback.

    Args:
        command: a command's function.

    Returns:
        The same command, which exits with 2 on a MetatalkError and with 130 when interrupted.
    """

    @functools.wraps(command)
    def answered(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MetatalkError as error:
            logging.getLogger("metatalk").debug("the whole story:", exc_info=True)
            stderr().print(f"error: {error}", style="red", markup=False, highlight=False)
            raise typer.Exit(EXIT_MENDABLE) from error
        except KeyboardInterrupt as error:
            stderr().print("interrupted; run the same command again to go on from here")
            raise typer.Exit(EXIT_INTERRUPTED) from error

    return answered


@functools.cache
def stderr() -> Console:
    """The console for everything that is no result."""
    return Console(stderr=True, soft_wrap=True)


def set_up_logging(verbosity: int) -> None:
    """Send metatalk's log lines to the terminal; other libraries' stay as they are.

    Args:
        verbosity: 0 warnings and each stage's end, 1 what is being done, 2 everything.
    """
    logger = logging.getLogger("metatalk")
    handler = RichHandler(console=stderr(), show_time=verbosity > 0, show_path=False)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    logging.getLogger("metatalk.stages").setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)


def bars() -> ProgressFactory:
    """Make the factory of progress bars, one bar a stage, with frames a second and ETA.

    Returns:
        A `ProgressFactory` for `run_stages`; it draws on standard error.
    """

    @contextlib.contextmanager
    def bar(stage: str) -> Iterator[Progress]:
        columns = (
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bars(*columns, console=stderr(), transient=True) as drawn:
            yield _drawing(drawn, drawn.add_task(stage, total=None, note=""))

    return bar


def stdout_kept_clean(as_json: bool) -> AbstractContextManager[Any]:
    """Keep what libraries print out of the way of a machine that reads standard output.

    Args:
        as_json: whether a machine reads.

    Returns:
        A context manager around the work.
    """
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def show_stages(metrics: Mapping[str, Mapping[str, Any]], as_json: bool) -> None:
    """Print each stage's metrics.

    Args:
        metrics: by stage, then by name.
        as_json: print JSON for a machine, and a table otherwise.
    """
    if as_json:
        show_json(metrics)
        return
    table = Table("stage", "seconds", "metrics", box=None, header_style="bold")
    for stage, values in metrics.items():
        others = {name: value for name, value in values.items() if name != "seconds"}
        table.add_row(stage, _number(values.get("seconds", "")), escape(_in_words(others)))
    Console().print(table)


def show_values(values: Mapping[str, Any], as_json: bool) -> None:
    """Print a flat set of metrics.

    Args:
        values: by name.
        as_json: print JSON for a machine, and lines otherwise.
    """
    if as_json:
        show_json(values)
        return
    for name, value in values.items():
        Console().print(f"{name}: {_number(value)}", markup=False)


def show_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


class _Speed(ProgressColumn):
    """Frames or steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="cyan")


def _drawing(drawn: Bars, task: TaskID) -> Progress:
    def progress(done: int, total: int | None, note: str = "", /) -> None:
        drawn.update(task, completed=done, total=total, note=note)

    return progress


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _in_words(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
