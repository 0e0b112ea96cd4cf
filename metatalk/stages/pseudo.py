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
from metatalk.lipsync.wav2lip import Wav2Lip, prepare_teacher
from metatalk.stages.device import choose_device
from metatalk.stages.rehearsal import open_rehearsal, say_all
from metatalk.stages.sentences import plan_sentences, summarise
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry, record_entries
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
    corpus = Path(str(config.corpus))
    generator, record = load_network(Wav2Lip, inputs["checkpoint"])
    teacher = prepare_teacher(generator, choose_device(device), batch=config.batch)
    sentences = plan_sentences(inputs["corpus"], corpus, config)
    rehearsal = open_rehearsal(inputs, config, fit, landmarks, teacher)
    say_all(rehearsal, sentences, config, out, progress)
    listing = digest_file(inputs["corpus"])
    record_entries(out, [
        Entry("checkpoint", f"{record.title}: {record.file}", record.terms, record.sha256),
        Entry("speech", f"corpus {corpus.name}", "the corpus's own; not on record", listing),
    ])  # fmt: skip
    return {**summarise(out, len(sentences)), "checkpoint": record.sha256, "corpus": listing}


READS = ("clip", "ingest", "landmarks", "fit")
TAUGHT = (*READS, "checkpoint", "corpus", "face_model")
ALSO = ("fit", "landmarks", "device")
PSEUDO = Stage("pseudo", READS, 1, compute, section="pseudo", also=ALSO, resumable=True)
PSEUDO_TAUGHT = Stage(  # with `teacher_sources`
    "pseudo", TAUGHT, 1, compute, section="pseudo", also=ALSO, resumable=True
)
