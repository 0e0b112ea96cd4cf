"""How the processes of one training end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from metatalk.errors import FittingError
from metatalk.fabric import launch

WORKER = """
import atexit, sys
import torch.distributed as dist
from metatalk.fabric import launch

class Fabric:
    def launch(self, task):
        return task(self)

def task(fabric):
    if sys.argv[1] == "beside others":
        dist.init_process_group("gloo", "file://" + sys.argv[2], rank=0, world_size=1)
    if sys.argv[3] == "fails":
        raise RuntimeError("the footage is gone")
    return (lambda: None) if sys.argv[3] == "unsendable" else "learned"

atexit.register(print, "Python was unloaded")
print(launch(Fabric(), task))
"""


class LonelyFabric:
    """Does what is launched in this process, as Fabric does in each of several."""

    def launch(self, task: Callable[[Any], Any]) -> Any:
        return task(self)


def test_the_answer_of_the_task_is_given_back() -> None:
    fabric = LonelyFabric()
    assert launch(fabric, lambda given: [given]) == [fabric]


@pytest.mark.parametrize("given", [None, "29500"])
def test_every_training_looks_for_a_free_port(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """Unless the user has said where to meet."""
    monkeypatch.setenv("MASTER_PORT", "29500")
    if given is None:
        monkeypatch.delenv("MASTER_PORT")
    seen: list[str] = []

    class Fabric:
        def launch(self, task: Callable[[Any], Any]) -> Any:
            seen.append(os.environ.setdefault("MASTER_PORT", f"1000{len(seen)}"))  # as Fabric does
            return task(self)

    def fail(fabric: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        launch(Fabric(), fail)
    launch(Fabric(), str)
    assert seen == ([given] * 2 if given else ["10000", "10001"])
    assert os.environ.get("MASTER_PORT") == given


@pytest.mark.parametrize("heard", [True, False])
def test_what_a_user_can_put_right_comes_back_from_other_processes(heard: bool) -> None:
    """Torch gives back a traceback as words; the error that was meant is raised instead."""
    meant = FittingError("no clip shows a speaking face", "Give clips of people who speak.")

    class Fabric:
        def launch(self, task: Callable[[Any], Any]) -> Any:
            try:
                return task(self)
            except Exception as error:
                raise RuntimeError("-- Process 1 terminated with the following error:") from error

    def fail(fabric: Any) -> None:
        raise meant if heard else ZeroDivisionError("a fault of ours")

    with pytest.raises(FittingError if heard else RuntimeError) as told:
        launch(Fabric(), fail)
    assert (told.value.args == meant.args) == heard


def test_an_error_half_told_does_not_hide_what_happened() -> None:
    """Torch ends the other processes in the middle of whatever they do."""

    class Fabric:
        def launch(self, task: Any) -> Any:
            (task.args[1] / "7.partial").write_bytes(b"")
            raise RuntimeError("-- Process 1 terminated with the following error:")

    with pytest.raises(RuntimeError, match="Process 1 terminated"):
        launch(Fabric(), str)


@pytest.mark.skipif(not dist.is_available(), reason="this torch knows one process only")
@pytest.mark.parametrize(
    ("company", "end", "code", "said"),
    [
        ("beside others", "works", 0, ["learned"]),
        ("beside others", "fails", 1, ["Python was unloaded"]),
        ("beside others", "unsendable", 1, ["Python was unloaded"]),
        ("alone", "works", 0, ["learned", "Python was unloaded"]),
    ],
)
def test_gloo_is_not_unloaded_under_its_threads(
    company: str, end: str, code: int, said: list[str], tmp_path: Path
) -> None:
    words = [sys.executable, "-c", WORKER, company, str(tmp_path / "store"), end]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout.splitlines()) == (code, said), done.stderr
