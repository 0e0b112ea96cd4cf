"""The pseudo stage over a short real clip: a teacher that draws noise, and one that draws faces."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sync_toys import toy_judge

from metatalk.a2e.targets import MouthSpace
from metatalk.config import Config, load_config
from metatalk.errors import MediaError, MissingAssetError, StaleArtefactError
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.pseudo import forth_and_back
from metatalk.lipsync.teachers import Scene
from metatalk.lipsync.trusted_judge import TrustedJudge
from metatalk.lipsync.wav2lip import Wav2Lip
from metatalk.media.audio import Sound, read_sound, write_wav
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures
from metatalk.media.writer import VideoWriter
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.rehearsal import Rehearsal
from metatalk.stages.sentences import (
    load_utterances,
)
from metatalk.stages.sync_watch import SyncWatch
from metatalk.stages.train import train_actor
from metatalk.workspace.ledger import read_ledger
from metatalk.workspace.manifest import read_manifest

FRAMES = 50


@pytest.fixture(scope="module")
def clip(shared_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a real speaker."""
    source = shared_clips / "senator.mp4"
    if not source.is_file():
        pytest.skip("senator.mp4 is not on this machine")
    path, info = tmp_path_factory.mktemp("footage") / "short.mp4", probe_video(source)
    with VideoWriter(
        path, info.width, info.height, Fraction(25), Fraction(1, 25), info.colour,
        audio=source, audio_limit_s=Fraction(FRAMES, 25),
    ) as writer:  # fmt: skip
        for number, picture in enumerate(islice(read_pictures(source), FRAMES)):
            writer.write(picture, number)
    return path


@pytest.fixture(scope="module")
def corpus(shared_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short recordings of another voice."""
    source = shared_clips / "audio" / "ljspeech_1.wav"
    if not source.is_file():
        pytest.skip("ljspeech_1.wav is not on this machine")
    folder, speech = tmp_path_factory.mktemp("speech"), read_sound(source).samples
    for name, first in (("a.wav", 0), ("b.wav", 20_000)):
        write_wav(folder / name, Sound(speech[first : first + 17_600], 16_000))  # 1.1 s
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "teacher.safetensors"
    save_file(Wav2Lip().state_dict(), path, {"terms": "made up for a test"})
    return path


@pytest.fixture(scope="module")
def settings(checkpoint: Path, corpus: Path) -> Config:
    words = [f"pseudo.checkpoint={checkpoint}", f"pseudo.corpus={corpus}", "pseudo.batch=8"]
    return load_config("tiny", words=words)


class Mirror:
    """A teacher that shows the footage unchanged."""

    def show(self, scene: Scene) -> Iterator[np.ndarray]:
        yield from (np.array(scene.pictures[place]) for place in scene.order)


class Blank:
    """A teacher that loses the face."""

    def show(self, scene: Scene) -> Iterator[np.ndarray]:
        yield from (np.zeros_like(scene.pictures[place]) for place in scene.order)


class Moody(Mirror):
    """A teacher that fails at the sentences it is told."""

    def __init__(self, *failing: int) -> None:
        self.failing, self.asked = failing, -1

    def show(self, scene: Scene) -> Iterator[np.ndarray]:
        self.asked += 1
        if self.asked in self.failing:
            raise MediaError("the teacher has a headache")
        yield from super().show(scene)


@pytest.fixture
def taught_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    def teach(teacher: object) -> None:
        monkeypatch.setattr("metatalk.stages.pseudo.open_teacher", lambda *_, **__: teacher)

    return teach


@pytest.fixture(scope="module")
def fitted(clip: Path, settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An actor with everything that comes before the pseudo stage."""
    actor = tmp_path_factory.mktemp("actors") / "jane"
    train_actor(clip, actor, settings, last="render")
    return actor


@pytest.fixture
def actor(fitted: Path, tmp_path: Path) -> Path:
    """A copy of that actor, to be spoilt."""
    return Path(shutil.copytree(fitted, tmp_path / "jane"))


@pytest.mark.slow
def test_random_weights_run_end_to_end(
    clip: Path, settings: Config, actor: Path, checkpoint: Path
) -> None:
    metrics = train_actor(clip, actor, settings, last="train_a2e")
    said = metrics["pseudo"]
    # Grey for a mouth: landmarks may be guessed there well enough to pass the gate, or not.
    assert said["sentences"] + said["dropped"] == 2
    kept = list(load_utterances(actor / "pseudo"))
    assert len(kept) == said["sentences"]
    assert ("corpus_s" in metrics["train_a2e"]) == bool(kept)
    film = list(read_pictures(actor / "pseudo" / "preview.mp4"))
    assert len(film) == 27
    entry = next(entry for entry in read_ledger(actor) if entry.kind == "checkpoint")
    assert (entry.terms, entry.digest) == (
        "made up for a test", hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    )  # fmt: skip
    assert any(entry.kind == "speech" for entry in read_ledger(actor))


def test_a_teacher_that_changes_nothing_gives_back_the_actors_own_expressions(
    clip: Path, settings: Config, actor: Path, taught_by: Callable[[object], None]
) -> None:
    taught_by(Mirror())
    metrics = train_actor(clip, actor, settings, last="train_a2e")
    assert metrics["pseudo"]["sentences"] == 2
    assert "judge" not in metrics["pseudo"]
    assert metrics["pseudo"]["face_share"] == 1.0
    assert metrics["pseudo"]["landmark_error_mm"] < settings.pseudo.max_error_mm
    assert metrics["train_a2e"]["corpus_s"] == pytest.approx(2.16, abs=0.1)
    _, track, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    with np.load(actor / "train_a2e" / "mouth_space.npz") as stored:
        space = MouthSpace(**stored)
    own = space.expression_to_mouth(track.expression.numpy())
    for start, said in zip((0, 28), load_utterances(actor / "pseudo"), strict=True):
        mouth = space.expression_to_mouth(said.expression)
        places = [forth_and_back(FRAMES, len(mouth), start + late) for late in (0, 1, 2)]
        alike = [np.corrcoef(mouth[:, 0], own[place, 0])[0, 1] for place in places]
        assert alike[0] > 0.95
        assert alike[0] > alike[1] > alike[2]  # in step with the footage
    assert not (actor / "pseudo" / "footage").exists()


@pytest.mark.parametrize("outcome", ["asked", "not trusted: it is a toy"])
def test_what_became_of_the_judge_is_among_the_metrics(
    outcome: str, clip: Path, settings: Config, actor: Path, checkpoint: Path,
    taught_by: Callable[[object], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taught_by(Mirror())
    asked: list[tuple[int, ...]] = []
    lips = torch.zeros(50, 5)
    trusted = TrustedJudge(toy_judge(), (lips,), (lips,)) if outcome == "asked" else None
    monkeypatch.setattr("metatalk.stages.sentences.open_judge", lambda path: None)
    monkeypatch.setattr(
        "metatalk.stages.rehearsal.open_trusted_judge", lambda *_: (trusted, outcome)
    )

    def refuse(self: SyncWatch, config: object) -> str:
        asked.append(np.stack(self.faces).shape)
        return "the judge is not confident"

    monkeypatch.setattr(SyncWatch, "reason", refuse)
    judged = replace(settings, pseudo=replace(settings.pseudo, judge=str(checkpoint)))
    said = train_actor(clip, actor, judged, last="pseudo")["pseudo"]
    assert said["judge"] == outcome
    assert asked == ([(27, 96, 96, 3)] * 2 if trusted else [])
    assert said["dropped"] == len(asked)


def test_pictures_without_a_face_are_dropped_and_training_goes_on(
    clip: Path, settings: Config, actor: Path, taught_by: Callable[[object], None]
) -> None:
    taught_by(Blank())
    metrics = train_actor(clip, actor, settings, last="train_a2e")
    assert metrics["pseudo"]["sentences"] == 0
    assert metrics["pseudo"]["dropped"] == 2
    assert metrics["pseudo"]["dropped_for"] == "2 because a face is missing"
    assert "corpus_s" not in metrics["train_a2e"]


def test_a_killed_run_goes_on_behind_the_sentences_it_wrote(
    clip: Path, settings: Config, actor: Path, taught_by: Callable[[object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taught_by(Mirror())
    taken, take = [], Rehearsal.take

    def killed(self, sentence, *rest):
        taken.append(sentence.number)
        if taken == [0, 1]:
            raise KeyboardInterrupt
        return take(self, sentence, *rest)

    monkeypatch.setattr(Rehearsal, "take", killed)
    with pytest.raises(KeyboardInterrupt):
        train_actor(clip, actor, settings, last="pseudo")
    assert not (actor / "pseudo").exists()
    assert train_actor(clip, actor, settings, last="pseudo")["pseudo"]["sentences"] == 2
    assert taken == [0, 1, 1]
    assert not list((actor / "pseudo").rglob("*partial*"))


def test_one_sentence_may_fail_and_is_named(
    clip: Path, settings: Config, actor: Path, taught_by: Callable[[object], None]
) -> None:
    taught_by(Moody(0))
    metrics = train_actor(clip, actor, settings, last="pseudo")["pseudo"]
    assert (metrics["sentences"], metrics["dropped"]) == (1, 1)
    listed = json.loads((actor / "pseudo" / "sentences.json").read_text())
    assert [item["dropped_for"] for item in listed] == ["the teacher failed", None]
    assert (actor / "pseudo" / "preview.mp4").is_file()


def test_a_teacher_that_always_fails_is_an_error(
    clip: Path, settings: Config, actor: Path, taught_by: Callable[[object], None]
) -> None:
    taught_by(Moody(0, 1))
    with pytest.raises(MediaError, match="headache"):
        train_actor(clip, actor, settings, last="pseudo")
    assert not (actor / "pseudo").exists()


def test_another_corpus_under_the_same_name_makes_the_stage_stale(
    clip: Path, settings: Config, actor: Path, tmp_path: Path,
    taught_by: Callable[[object], None],
) -> None:  # fmt: skip
    taught_by(Mirror())
    folder = Path(shutil.copytree(settings.pseudo.corpus, tmp_path / "speech"))
    own = replace(settings, pseudo=replace(settings.pseudo, corpus=str(folder)))
    train_actor(clip, actor, own, last="pseudo")
    cause = read_manifest(actor / "pseudo").cause
    assert {"teacher", "corpus"} <= cause.inputs.keys()
    (folder / "b.wav").unlink()
    with pytest.raises(StaleArtefactError, match="corpus"):
        train_actor(clip, actor, own, last="pseudo")


def test_without_a_teacher_the_stage_is_skipped(clip: Path, settings: Config, actor: Path) -> None:
    alone = replace(settings, pseudo=PseudoConfig())
    metrics = train_actor(clip, actor, alone, last="pseudo")["pseudo"]
    assert metrics["sentences"] == 0
    assert "pseudo.checkpoint" in json.loads((actor / "pseudo" / "skipped.json").read_text())["why"]
    assert list(load_utterances(actor / "pseudo")) == []
    assert not {entry.kind for entry in read_ledger(actor)} & {"checkpoint", "teacher", "speech"}


def test_a_missing_checkpoint_is_named_before_any_work(footage: Path, actor_root: Path) -> None:
    absent = replace(Config(), pseudo=PseudoConfig("absent.pth", str(footage.parent)))
    with pytest.raises(MissingAssetError, match=r"absent\.pth"):
        train_actor(footage, actor_root, absent)
    assert not (actor_root / "ingest").exists()
