"""Pseudo: the actor speaking many voices, through a lip-sync teacher; skipped without one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from metatalk.errors import ConfigError
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.pseudo import missing_teacher
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics

LOG = logging.getLogger(__name__)


def compute(
    inputs: Mapping[str, Path], config: PseudoConfig, out: Path, progress: Progress
) -> Metrics:
    """Say why there is no pseudo video."""
    missing = missing_teacher(config)
    if missing is None:
        raise ConfigError("pseudo video is not wired up yet")
    LOG.info("%s", missing)
    (out / "skipped.json").write_text(json.dumps({"why": missing}), encoding="utf-8")
    return {"sentences": 0}


PSEUDO = Stage("pseudo", reads=("clip", "landmarks"), revision=1, compute=compute, section="pseudo")
