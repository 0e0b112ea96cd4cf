"""Pseudo: the actor speaking many voices, through a lip-sync teacher; skipped without one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.lipsync.checkpoints import load_network
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.pseudo import missing_teacher
from metatalk.lipsync.teachers import Teacher, Wav2LipTeacher
from metatalk.lipsync.wav2lip import Wav2Lip, prepare_redrawer
from metatalk.precision import choose_precision
from metatalk.stages.device import choose_device
from metatalk.stages.face_model import open_face_model
from metatalk.stages.ingredients import teacher_ingredients
from metatalk.stages.rehearsal import open_rehearsal, say_all
from metatalk.stages.screening import measure_own_clip, screen_sentences
from metatalk.stages.sentences import plan_sentences, summarise
from metatalk.stages.stage import Progress, Stage
from metatalk.stages.teachers import CommandTeacher
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import record_entries
from metatalk.workspace.manifest import Metrics

LOG = logging.getLogger(__name__)


def compute(
    inputs: Mapping[str, Path],
    config: PseudoConfig,
    out: Path,
    progress: Progress,
    *,
    fit: FitConfig,
    landmarks: LandmarksConfig,
    device: str,
) -> Metrics:
    """Let the actor say the corpus, and put the teacher's terms into the artefact's ledger."""
    missing = missing_teacher(config)
    if missing is not None:
        LOG.info("%s", missing)
        (out / "skipped.json").write_text(json.dumps({"why": missing}), encoding="utf-8")
        return {"sentences": 0}
    teacher = open_teacher(config, device)
    sentences = plan_sentences(inputs["corpus"], Path(str(config.corpus)), config)
    own = measure_own_clip(inputs, open_face_model(fit.face_model, landmarks))
    offset_s = own.offset_s if own else None
    with open_rehearsal(
        inputs, config, fit, landmarks, teacher, out, offset_s, device
    ) as rehearsal:
        say_all(rehearsal, sentences, config, out, progress)
    sync = screen_sentences(out, sentences, own, config.gate)
    if rehearsal.judge_outcome:
        sync["judge"] = rehearsal.judge_outcome
    record_entries(out, teacher_ingredients(config))
    digests = {name: digest_file(inputs[name]) for name in ("teacher", "corpus")}
    return {**summarise(out, sentences), **sync, **digests}


def open_teacher(config: PseudoConfig, device: str) -> Teacher:
    """Open the teacher that the settings name.

    Raises:
        MissingAssetError: the checkpoint is not there, or holds no weights.
        ConfigError: it holds the weights of something else.
    """
    if config.command:
        return CommandTeacher(config.command, config.command_timeout_s)
    generator, _ = load_network(Wav2Lip, Path(str(config.checkpoint)))
    where = choose_device(device)
    return Wav2LipTeacher(prepare_redrawer(generator, where, choose_precision(where), config.batch))


READS = ("clip", "ingest", "landmarks", "fit")
TAUGHT = (*READS, "teacher", "corpus", "face_model")
ALSO = ("fit", "landmarks", "device")
PSEUDO = Stage("pseudo", READS, 2, compute, section="pseudo", also=ALSO, resumable=True)
PSEUDO_TAUGHT = Stage(  # with `teacher_sources`
    "pseudo", TAUGHT, 2, compute, section="pseudo", also=ALSO, resumable=True
)
