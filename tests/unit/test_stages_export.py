"""A fit leaves in every form, whole or not at all, with its terms beside it."""

from __future__ import annotations

import csv
import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from face_toys import CAMERA, UNITS, toy_model, toy_track
from interchange_toys import PERSON, toy_index
from read_only_toys import refuse_writing

from metatalk.errors import (
    ConfigError,
    CurvesError,
    MetatalkError,
    MissingAssetError,
    StaleArtefactError,
)
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.coefficients import PersonCoefficients, load_coefficients, save_coefficients
from metatalk.stages import export
from metatalk.stages.artefacts import save_index, save_landmarks
from metatalk.stages.export import ExportRequest, choose_kind, export_fit, find_root
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.clip_places import clip_places
from metatalk.workspace.digest import digest_file, digest_path
from metatalk.workspace.footage import remember_footage
from metatalk.workspace.ledger import Entry, record_entries
from metatalk.workspace.manifest import Cause, finish_manifest, write_manifest

FRAMES, CUT = 10, 6
KINDS = {"a.csv": "csv", "a.json": "json", "a.glb": "glb", "a.obj": "obj", "a.mat": "deep3d"}


def fill(folder: ActorFolder, stage: str) -> Iterator[Path]:
    settings = {"fit": {"face_model": "anny"}, "landmarks": {}} if stage == "fit" else {}
    cause = Cause(stage, 1, settings, {})
    yield folder.begin(cause, resume=False)
    folder.finish(cause, {}, 0.0)


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fit of the toy head, in two shots."""
    monkeypatch.setattr(export, "open_face_model", lambda name, landmarks: toy_model())
    root = tmp_path / "actor"
    make_fit(root)
    record_entries(root, [Entry("footage", "clip.mp4", "Jane Doe: tests", "0123")])
    return root


def make_fit(root: Path) -> None:
    folder = ActorFolder(root)
    for out in fill(folder, "ingest"):
        save_index(out / "frames.npz", toy_index(FRAMES))
    for out in fill(folder, "landmarks"):
        points = np.zeros((FRAMES, 68, 3), np.float32)
        ones = np.ones(FRAMES, np.float32)
        shots = np.array([[0, CUT], [CUT, FRAMES]])
        track = LandmarkTrack(points, ones, ones.astype(np.uint8), shots, "ibug68")
        save_landmarks(out / "landmarks.npz", track)
    for out in fill(folder, "fit"):
        save_coefficients(out / "coefficients.npz", PERSON, toy_track(FRAMES), CAMERA)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.glb"])
def test_every_form_is_written_with_its_terms(actor: Path, tmp_path: Path, name: str):
    out = tmp_path / "out" / name
    metrics = export_fit(actor, out, ExportRequest())
    assert (metrics["kind"], metrics["frames"], metrics["fps"]) == (KINDS[name], FRAMES, 25.0)
    assert out.stat().st_size > 1000
    ledger = json.loads((tmp_path / "out" / f"{name}.ledger.json").read_text())
    assert ledger["synthetic"] is True
    assert {(entry["kind"], entry["name"]) for entry in ledger["entries"]} == {
        ("footage", "clip.mp4"),
        ("face model", "toy"),
    }
    assert sorted(path.name for path in out.parent.iterdir()) == [name, f"{name}.ledger.json"]


def test_rate_and_shots_reach_the_csv(actor: Path, tmp_path: Path):
    export_fit(actor, tmp_path / "a.csv", ExportRequest(rate=Fraction(50)))
    rows = rows_of(tmp_path / "a.csv")
    assert len(rows) == 2 * FRAMES
    assert [row["shot"] for row in rows] == ["0"] * 2 * CUT + ["1"] * 2 * (FRAMES - CUT)


def test_an_obj_for_each_frame(actor: Path, tmp_path: Path):
    out = tmp_path / "seq" / "jane.obj"
    export_fit(actor, out, ExportRequest(rate=Fraction(10)))
    names = sorted(path.name for path in out.parent.iterdir())
    assert names == [*(f"jane.{n:06d}.obj" for n in range(4)), "jane.obj.ledger.json"]
    with pytest.raises(CurvesError, match="left of a longer sequence"):
        export_fit(actor, out, ExportRequest(rate=Fraction(5)))


def test_edited_curves_go_over_the_fit(actor: Path, tmp_path: Path):
    edited = tmp_path / "edited.csv"
    edited.write_text("time_s,jawOpen\n0,0\n0.4,0.8\n")
    out = tmp_path / "a.csv"
    export_fit(actor, out, ExportRequest(edited=edited))
    rows, fitted = rows_of(out), toy_track(FRAMES).expression
    assert [float(row["jawOpen"]) for row in rows] == pytest.approx(
        [0.08 * frame for frame in range(FRAMES)], abs=1e-5
    )
    smile = [float(row["mouthSmileLeft"]) for row in rows]
    np.testing.assert_allclose(smile, fitted[:, 1], atol=1e-6)
    ledger = json.loads(out.with_name("a.csv.ledger.json").read_text())
    entry = next(entry for entry in ledger["entries"] if entry["kind"] == "curves")
    assert (entry["name"], entry["digest"]) == ("edited.csv", digest_file(edited))


def test_export_and_back_is_the_same_file(actor: Path, tmp_path: Path):
    first, again = tmp_path / "first.csv", tmp_path / "again.csv"
    export_fit(actor, first, ExportRequest())
    export_fit(actor, again, ExportRequest(edited=first))
    assert first.read_text() == again.read_text()


def test_what_it_works_from_is_not_overwritten(actor: Path, tmp_path: Path):
    edited = tmp_path / "edited.csv"
    edited.write_text("time_s,jawOpen\n0,0\n")
    with pytest.raises(MetatalkError, match="one of the files to work from"):
        export_fit(actor, edited, ExportRequest(edited=edited))
    assert edited.read_text() == "time_s,jawOpen\n0,0\n"


def test_parts_of_the_actor_are_not_overwritten(actor: Path, tmp_path: Path):
    clip = tmp_path / "clip.csv"  # whatever it is called
    clip.write_bytes(b"footage")
    remember_footage(actor, clip)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for part in ("footage.json", "ledger.json", "config.json", "fit/a.csv", "targets/a.csv"):
        with pytest.raises(MetatalkError, match="is a part of an actor"):
            export_fit(actor, actor / part, ExportRequest())
    with pytest.raises(MetatalkError, match="one of the files to work from"):
        export_fit(actor, clip, ExportRequest())
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    export_fit(actor, actor / "report" / "a.csv", ExportRequest())


@pytest.mark.parametrize(
    "part", ["fit/coefficients.npz", "ingest/frames.npz", "landmarks/landmarks.npz"]
)
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_damaged_artefacts_end_in_a_remedy(actor: Path, tmp_path: Path, part: str, content: bytes):
    (actor / part).write_bytes(content)
    with pytest.raises(MetatalkError, match=Path(part).name) as caught:
        export_fit(actor, tmp_path / "a.csv", ExportRequest())
    assert "metatalk fit" in caught.value.remedy


def test_another_version_of_the_face_model_is_refused(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    card = tmp_path / "card.txt"
    card.write_text("toy 1")
    monkeypatch.setattr("metatalk.stages.actor.face_model_card", lambda name, landmarks: card)
    keep_cause(actor, {"face_model": digest_path(card)})
    export_fit(actor, tmp_path / "a.csv", ExportRequest())
    card.write_text("toy 2")
    with pytest.raises(StaleArtefactError, match="another version of the face model") as caught:
        export_fit(actor, tmp_path / "a.csv", ExportRequest())
    assert "--rerun fit" in caught.value.remedy


def test_settings_of_another_version_do_not_matter(actor: Path, tmp_path: Path):
    keep_cause(actor, {}, fit={"face_model": "anny", "of_tomorrow": 1}, camera={"x": 1})
    export_fit(actor, tmp_path / "a.csv", ExportRequest())


def keep_cause(root: Path, inputs: dict[str, str], **settings: dict[str, Any]) -> None:
    settings = settings or {"fit": {"face_model": "anny"}}
    cause = Cause("fit", 1, settings, inputs)
    write_manifest(root / "fit", finish_manifest(cause, "", {}, 0.0))


def test_what_is_no_fit_is_told_what_it_is_for(tmp_path: Path):
    (tmp_path / "a.csv").write_text("time_s,jawOpen\n")
    with pytest.raises(ConfigError, match="holds curves"):
        find_root(tmp_path / "a.csv")
    save_coefficients(tmp_path / "lone.npz", PERSON, toy_track(FRAMES), CAMERA)
    with pytest.raises(MissingAssetError, match="do not tell when their frames are"):
        find_root(tmp_path / "lone.npz")


@pytest.mark.parametrize("name", ["a.csv", "a.obj", "a.glb", "a.json"])
def test_a_full_disk_leaves_nothing_and_spares_what_was_there(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    out = tmp_path / "out" / name
    out.parent.mkdir()
    out.write_text("of before")
    done: list[Any] = []

    def refuse(path: Path, *content: Any) -> None:
        path.write_bytes(b"half")
        done.append(path)
        if len(done) > 3 or name != "a.obj":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    for writer in ("write_csv", "write_json", "write_obj"):
        monkeypatch.setattr(export, writer, refuse)
    if name == "a.glb":
        monkeypatch.setattr(export, "build_glb", lambda *given: b"GLB")
        monkeypatch.setattr(Path, "replace", lambda path, target: refuse(path))
    with pytest.raises(MetatalkError) as caught:
        export_fit(actor, out, ExportRequest())
    assert "free some space" in caught.value.remedy
    assert [path.name for path in out.parent.iterdir()] == [name]
    assert out.read_text() == "of before"


def test_deep3d_is_written_by_its_own_room(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module, given = ModuleType("metatalk.morphable.deep3d"), {}

    def convert(model: Any, person: Any, track: Any, camera: Any) -> str:
        given.update(frames=len(track), camera=camera, identity=person.identity)
        return "vectors"

    module.coefficients_to_deep3d = convert  # type: ignore[attr-defined]
    module.save_deep3d_mat = lambda path, vectors: path.write_text(vectors)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    export_fit(actor, tmp_path / "a.mat", ExportRequest(rate=Fraction(50)))
    assert (tmp_path / "a.mat").read_text() == "vectors"
    assert (given["frames"], given["camera"]) == (2 * FRAMES, CAMERA)


def test_a_basel_fit_leaves_as_deep3d(actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chance = torch.Generator().manual_seed(1)
    rand = lambda *shape: torch.randn(*shape, generator=chance)  # noqa: E731
    basel = replace(
        toy_model(),
        source="bfm2009",
        identity_basis=rand(80, 60, 3),
        expression_basis=rand(64, 60, 3),
        texture_basis=0.01 * rand(80, 60, 3),
        expression_names=tuple(f"mode_{number:02d}" for number in range(64)),
    )
    monkeypatch.setattr(export, "open_face_model", lambda name, landmarks: basel)
    person = PersonCoefficients(rand(80), rand(80))
    track = toy_track(FRAMES).with_expression(rand(FRAMES, 64))
    save_coefficients(actor / "fit" / "coefficients.npz", person, track, CAMERA)
    export_fit(actor, tmp_path / "a.mat", ExportRequest())
    stored = scipy.io.loadmat(tmp_path / "a.mat")
    sizes = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    assert {name: stored[name].shape for name in sizes} == {
        name: (FRAMES, size) for name, size in sizes.items()
    }
    np.testing.assert_allclose(stored["exp"], track.expression, atol=1e-6)
    with pytest.raises(CurvesError, match="statistical modes"):
        export_fit(actor, tmp_path / "a.csv", ExportRequest(kind="arkit"))
    assert not (tmp_path / "a.csv").exists()


def test_another_face_model_is_no_deep3d(actor: Path, tmp_path: Path):
    with pytest.raises(MetatalkError) as caught:
        export_fit(actor, tmp_path / "a.mat", ExportRequest())
    assert caught.value.remedy
    assert not (tmp_path / "a.mat").exists()


def test_the_fit_is_found_from_any_of_its_places(actor: Path):
    for place in (actor, actor / "fit", actor / "fit" / "coefficients.npz"):
        assert find_root(place) == actor
    for place in (actor.parent, actor / "ingest", actor / "ingest" / "frames.npz"):
        with pytest.raises(MissingAssetError) as caught:
            find_root(place)
        assert "metatalk fit" in caught.value.remedy
    assert not (actor.parent / ".lock").exists()


def test_a_target_that_was_driven(actor: Path, tmp_path: Path):
    clip = tmp_path / "other.mp4"
    clip.write_bytes(b"other footage")
    out = tmp_path / "a.csv"
    with pytest.raises(MissingAssetError) as caught:
        export_fit(actor, out, ExportRequest(target=clip))
    assert "--target" in caught.value.remedy
    make_driven(actor / "targets" / digest_file(clip)[-16:], 0.625)
    export_fit(actor, out, ExportRequest(target=clip))
    assert {row["jawOpen"] for row in rows_of(out)} == {"0.625000"}
    entries = json.loads(out.with_name("a.csv.ledger.json").read_text())["entries"]
    assert ("other.mp4", "consent not on record") in [(e["name"], e["terms"]) for e in entries]


def make_driven(root: Path, jaw: float) -> None:
    """A fit that is known by how far the jaw is open."""
    make_fit(root)
    person, track, camera = load_coefficients(root / "fit" / "coefficients.npz")
    track.expression[:, 0] = jaw
    save_coefficients(root / "fit" / "coefficients.npz", person, track, camera)


def test_a_target_s_fit_is_the_one_that_a_drive_takes(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    clip, out = tmp_path / "other.mp4", tmp_path / "a.csv"
    clip.write_bytes(b"other footage")
    places = clip_places(ActorFolder(actor), clip)
    make_driven(places.own, 0.25)
    make_driven(places.aside, 0.5)  # made anew by somebody who cannot write with the actor
    export_fit(actor, out, ExportRequest(target=clip))
    assert {row["jawOpen"] for row in rows_of(out)} == {"0.250000"}
    refuse_writing(monkeypatch, actor)
    export_fit(actor, out, ExportRequest(target=clip))
    assert {row["jawOpen"] for row in rows_of(out)} == {"0.500000"}


@pytest.mark.parametrize(
    ("name", "asked", "kind"),
    [("a.csv", None, "csv"), ("A.GLB", None, "glb"), ("a.mat", None, "deep3d"),
     ("a.csv", "arkit", "arkit"), ("a.obj", "obj", "obj")],
)  # fmt: skip
def test_the_name_or_the_word_tells_the_form(name: str, asked: str | None, kind: str):
    assert choose_kind(Path(name), asked) == kind


@pytest.mark.parametrize(("name", "asked"), [("a.fbx", None), ("a", None), ("a.glb", "csv")])
def test_a_form_that_is_none(name: str, asked: str | None):
    with pytest.raises(ConfigError) as caught:
        choose_kind(Path(name), asked)
    assert caught.value.remedy


def test_units_are_the_model_s(actor: Path, tmp_path: Path):
    export_fit(actor, tmp_path / "a.csv", ExportRequest())
    assert list(rows_of(tmp_path / "a.csv")[0])[-len(UNITS) :] == list(UNITS)
