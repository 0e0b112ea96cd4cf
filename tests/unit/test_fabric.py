"""How the processes of one training end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

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
    return "learned"

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


@pytest.mark.skipif(not dist.is_available(), reason="this torch knows one process only")
@pytest.mark.parametrize(
    ("company", "end", "code", "said"),
    [
        ("beside others", "works", 0, ["learned"]),
        ("beside others", "fails", 1, ["Python was unloaded"]),
        ("alone", "works", 0, ["learned", "Python was unloaded"]),
    ],
)
def test_gloo_is_not_unloaded_under_its_threads(
    company: str, end: str, code: int, said: list[str], tmp_path: Path
) -> None:
    words = [sys.executable, "-c", WORKER, company, str(tmp_path / "store"), end]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (code, said), done.stderr
