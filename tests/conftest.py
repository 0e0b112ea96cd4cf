"""What all tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden", action="store_true", help="store the numbers of now as the golden ones"
    )


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
