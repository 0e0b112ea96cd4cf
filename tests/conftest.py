"""What all tests share."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# A machine that is slow or busy, or an example that nobody has met yet, must not fail a test of
# something else: the same examples every time, however long they take. To look for new ones:
# pytest --hypothesis-profile=explore
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden", action="store_true", help="store the numbers of now as the golden ones"
    )


# What a command prints is read back: as plain text, and in lines that no path of a temporary
# folder is too long for. Read by libraries when they are loaded, and by processes that are begun.
for _name in ("CLICOLOR_FORCE", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TTY_COMPATIBLE"):
    os.environ.pop(_name, None)
os.environ |= {"COLUMNS": "200", "NO_COLOR": "1"}
# Nothing that a test does is told to anybody, nor kept in the home folder for that.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test, its fixtures too, draws the same numbers wherever it stands among the others."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):  # it begins with a seed of its own, always the same
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def logging_untouched() -> Iterator[None]:
    """The command line sets up logging for its process; every test is another one."""
    _reset_logging()  # a fixture of the whole session may have run a command
    yield
    _reset_logging()


def _reset_logging() -> None:
    logger = logging.getLogger("metatalk")
    logger.handlers.clear()
    logger.propagate = True
    for name in ("metatalk", "metatalk.stages"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """The folder of real footage; tests that need it are skipped without.

    METATALK_TEST_CLIPS names it; else it lies beside the repository.
    """
    beside = REPOSITORY.parent / "shared" / "clips"
    folder = Path(os.environ.get("METATALK_TEST_CLIPS") or beside)
    if not folder.is_dir():
        pytest.skip("the real footage is not on this machine")
    return folder


@pytest.fixture(scope="session")
def presenter() -> Path:
    """The built-in synthetic presenter's footage."""
    clip = REPOSITORY / "metatalk" / "presenter" / "presenter.mp4"
    if not clip.is_file():
        pytest.skip("the presenter has not been made: tools/make_demo_presenter.py")
    return clip


@pytest.fixture
def actor_root(tmp_path: Path) -> Path:
    """Where an actor folder may be made; it does not exist yet."""
    return tmp_path / "actors" / "jane"


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A file that stands for footage where nobody looks into it."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not really a video")
    return clip
