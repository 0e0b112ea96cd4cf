"""Imports follow the data, in one direction."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "metatalk"
ROWS = """errors; shapes timing presenter precision onnx_runtime; media workspace fabric;
          landmarks morphable; render lipsync; fitting neural a2e; compose evaluate interchange;
          config; stages; cli"""
RANK = {name: rank for rank, row in enumerate(ROWS.split(";")) for name in row.split()}
MODULES = sorted(PACKAGE.rglob("*.py"))
LIGHT = ("numpy", "torch", "cv2", "mediapipe", "numba", "librosa", "av", "scipy", "anny")


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import hides its direction"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_up_the_rows_only(module: Path) -> None:
    room = room_of(module)
    for name in imported(module):
        parts = name.split(".")
        if parts[0] != "metatalk" or len(parts) < 2 or parts[1] not in RANK or parts[1] == room:
            continue
        assert room != "__init__", f"metatalk/__init__.py imports {name}"
        assert RANK[parts[1]] < RANK[room], f"{module.name} of {room} imports {name}"


def test_every_room_has_a_row() -> None:
    rooms = {room_of(module) for module in MODULES} - {"__init__"}
    assert rooms <= set(RANK), f"no row for {rooms - set(RANK)}"


def test_only_media_touches_codecs() -> None:
    others = [m for m in MODULES if room_of(m) != "media" and any(
        name.split(".")[0] == "av" for name in imported(m))]  # fmt: skip
    assert others == []


def test_anny_is_imported_by_the_model_builder_only() -> None:
    importing = [m for m in MODULES if any(name.split(".")[0] == "anny" for name in imported(m))]
    assert {room_of(module) for module in importing} <= {"morphable"}


def test_files_have_a_subject_and_are_short() -> None:
    for module in MODULES:
        assert module.name not in ("utils.py", "helpers.py", "misc.py"), module
        lines = len(module.read_text(encoding="utf-8").splitlines())
        assert lines <= 400, f"{module} has {lines} lines"


def test_package_files_are_light() -> None:
    for module in PACKAGE.rglob("__init__.py"):
        if room_of(module) == "cli":
            continue
        names = list(imported(module))
        assert names == [], f"{module} imports {names}"


@pytest.mark.parametrize("name", ["metatalk", "metatalk.config", "metatalk.cli"])
def test_import_loads_nothing_heavy(name: str) -> None:
    code = f"import {name}, sys; print([m for m in {LIGHT!r} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
