"""When the user's own network begins the fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import MissingAssetError
from metatalk.fitting.config import FitConfig
from metatalk.stages.deep3d_start import TERMS, checkpoint_source
from metatalk.stages.fit import FIT, FIT_GUESSED, FIT_TARGET


def test_without_a_checkpoint_landmarks_begin():
    assert checkpoint_source(FitConfig()) is None


def test_a_missing_checkpoint_is_an_error_with_a_remedy(tmp_path: Path):
    with pytest.raises(MissingAssetError, match="no Deep3DFaceRecon checkpoint") as caught:
        checkpoint_source(FitConfig(deep3d_checkpoint=str(tmp_path / "epoch_20.pth")))
    assert "deep3d_checkpoint" in caught.value.remedy


def test_the_checkpoint_is_a_cause_of_the_fit(tmp_path: Path):
    """Another file under the same name must make the fit stale."""
    path = tmp_path / "epoch_20.pth"
    path.write_bytes(b"weights")
    assert checkpoint_source(FitConfig(deep3d_checkpoint=str(path))) == path
    assert "deep3d" in FIT_GUESSED.reads
    assert "deep3d" not in FIT.reads + FIT_TARGET.reads
    assert "terms" in TERMS
