from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def names(block: str) -> dict[str, str]:
    requirements = (line.strip() for line in block.splitlines() if line.strip())
    parted = (re.match(r"([\w.-]+)(.*)", line) for line in requirements)
    # Behind a semicolon stands where a requirement holds, not which releases it allows.
    return {normal(found[1]): found[2].partition(";")[0] for found in parted if found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_package_is_installed(setup_cfg: configparser.ConfigParser) -> None:
    listed = set(setup_cfg["options"]["packages"].split()) - {"metatalk.presets"}
    package = REPOSITORY / "metatalk"
    folders = {path.parent.relative_to(REPOSITORY) for path in package.rglob("__init__.py")}
    assert listed == {".".join(folder.parts) for folder in folders}


def test_every_dependency_is_pinned_within_its_range(
    setup_cfg: configparser.ConfigParser,
) -> None:
    specifiers = pytest.importorskip("packaging.specifiers")
    extras = "\n".join(setup_cfg["options.extras_require"].values())
    wanted = names(setup_cfg["options"]["install_requires"] + "\n" + extras)
    for name, allowed in wanted.items():
        assert name in pins(), f"{name} is not in constraints.txt"
        assert pins()[name] in specifiers.SpecifierSet(allowed), f"{name}=={pins()[name]}"


def test_both_opencv_packages_are_one_version() -> None:
    assert pins()["opencv-python"] == pins()["opencv-contrib-python"]


def test_all_that_is_imported_is_declared(setup_cfg: configparser.ConfigParser) -> None:
    declared = {*names(setup_cfg["options"]["install_requires"])}
    by_module = {"cv2": "opencv-python", "face_alignment": None, "pytorch3d": None}
    for module in (REPOSITORY / "metatalk").rglob("*.py"):
        for name in imported(module) - sys.stdlib_module_names - {"metatalk"}:
            distribution = by_module.get(name, name)
            assert distribution is None or normal(distribution) in declared, f"{module}: {name}"


def imported(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found
