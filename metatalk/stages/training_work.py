"""The folder beside a training's result: its state, its curves, and what it was begun from."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from safetensors.torch import save as weights_to_bytes
from torch import Tensor

from metatalk.lipsync.learning.loop import Journal
from metatalk.stages.artefacts import checkpoint_keeper, write_bytes
from metatalk.stages.training_log import TrainingLog
from metatalk.workspace.digest import digest_file
from metatalk.workspace.manifest import write_json

log = logging.getLogger(__name__)


class TrainingWork:
    """State and curves of a training; it can be sent to the process that trains.

    Args:
        folder: where they lie; it is there.
        progress: told how far the training is.
        metadata: what weights kept here say about themselves.
    """

    def __init__(
        self,
        folder: Path,
        progress: Callable[..., None],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.progress, self.metadata = folder, progress, dict(metadata or {})
        self._log: TrainingLog | None = None

    def begin(self, cause: Mapping[str, Any]) -> None:
        """Keep the state of an earlier run of the same cause; forget that of another."""
        now, place = json.loads(json.dumps(cause)), self.folder / "cause.json"
        if not place.is_file() or json.loads(place.read_text(encoding="utf-8")) != now:
            if self._checkpoint.is_file():
                log.warning("%s: settings or footage changed; beginning anew", self.folder)
            self._checkpoint.unlink(missing_ok=True)
            self._finish.unlink(missing_ok=True)
            for old in (*self.folder.glob("logs/events.*"), *self.folder.glob("*.safetensors")):
                old.unlink()
            write_json(place, now)

    def end(self, output: Path, metrics: Mapping[str, Any]) -> None:
        """Drop the state, and note the result: the training is over."""
        write_json(self._finish, {"output": digest_file(output), "metrics": dict(metrics)})
        self._checkpoint.unlink(missing_ok=True)

    def finished(self, output: Path) -> dict[str, Any] | None:
        """The metrics of an earlier run of the same cause that wrote what lies at `output`."""
        if not (self._finish.is_file() and output.is_file()):
            return None
        noted = json.loads(self._finish.read_text(encoding="utf-8"))
        return dict(noted["metrics"]) if noted["output"] == digest_file(output) else None

    def journal(self) -> Journal:
        """What the loop is handed."""
        return Journal(
            self.progress,
            self.save,
            self.load,
            self.show_figures,
            self.show_sheet,
            *(self.close, self.keep),
        )

    def save(self, state: Any) -> None:
        """Keep a state, whole or not at all."""
        checkpoint_keeper(self._checkpoint)[0](state)

    def load(self) -> Any:
        """The state that is kept, or None."""
        return checkpoint_keeper(self._checkpoint)[1]()

    def show_figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Draw on TensorBoard's curves."""
        self._opened(step).show_figures(step, figures)

    def show_sheet(self, step: int, sheet: np.ndarray) -> None:
        """Write `contact_sheet.png`."""
        self._opened(step).show_sheet(step, sheet)

    def close(self) -> None:
        """Let the curves reach the disk."""
        if self._log:
            self._log.__exit__(None, None, None)
            self._log = None

    def keep(self, name: str, state: dict[str, Tensor]) -> None:
        """Write what else was trained into the folder."""
        plain = {key: value.contiguous() for key, value in state.items()}
        write_bytes(self.folder / f"{name}.safetensors", weights_to_bytes(plain, self.metadata))

    def restate(self) -> None:
        """Let what else was trained say the metadata of now."""
        for path in self.folder.glob("*.safetensors"):
            self.keep(path.stem, load_file(path))

    @property
    def _finish(self) -> Path:
        return self.folder / "finished.json"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _opened(self, step: int) -> TrainingLog:
        if self._log is None:  # not before: a writer cannot be sent to another process
            self._log = TrainingLog(self.folder)
            self._log.begin(step - 1)
        return self._log


class LoggedProgress:
    """Progress as lines of the log, from a process that was spawned.

    Args:
        name: of the training.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.started: tuple[float, int] | None = None  # when, and how far it was

    def __call__(self, done: int, total: int | None, note: str = "", /) -> None:
        """Say now and then how far it is."""
        if self.started is None:
            self.started = time.monotonic(), done - 1
            if not logging.getLogger().handlers:  # such a process has none of the command's
                logging.basicConfig(level=logging.INFO, format="%(message)s")
        if total and (done % max(1, total // 20) == 0 or done == total):
            when, before = self.started
            left_s = (time.monotonic() - when) * (total - done) / (done - before)
            log.info("%s: %d of %d steps, %s, %.0f s left", self.name, done, total, note, left_s)
