"""Where face models are looked for, what is imported, and what each is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bfm_files import write_2009_parts, write_front_mat, write_ict
from face_toys import toy_model

from metatalk.errors import ConfigError, MissingAssetError, ShapeError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.morphable.model import load_model
from metatalk.stages import face_model, model_sources
from metatalk.stages.face_model import (
    face_model_card,
    face_model_path,
    import_face_model,
    list_face_models,
    open_face_model,
)
from metatalk.stages.model_cache import stored_sizes
from metatalk.stages.model_import import find_import
from metatalk.stages.model_sources import find_source, recognise, source_names

LANDMARKS = LandmarksConfig()


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an empty folder of models, no checkout; nothing is detected."""
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("METATALK_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(model_sources, "THIRD_PARTY", tmp_path / "third_party")
    monkeypatch.setattr(face_model, "_prepare", lambda model, centred, landmarks: model)
    (tmp_path / "models").mkdir()
    (tmp_path / "third_party/bfm").mkdir(parents=True)
    return tmp_path


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_unknown_names_are_told_what_is_known() -> None:
    with pytest.raises(MissingAssetError, match="no face model called 'bfm2010'") as error:
        face_model_path("bfm2010", LANDMARKS)
    assert set(source_names()) <= set(error.value.remedy.replace(",", "").split())


@pytest.mark.parametrize("name", source_names())
def test_known_names_are_told_what_to_bring(name: str) -> None:
    with pytest.raises(MissingAssetError, match=f"the face model {name} are not found") as error:
        open_face_model(name, LANDMARKS)
    assert model_sources.SOURCES[name].origin in error.value.remedy
    assert "metatalk face-model import" in error.value.remedy


@pytest.mark.parametrize("place", ["models", "third_party/bfm"])
def test_files_are_found_where_they_are_put(places: Path, place: str) -> None:
    arrays = write_front_mat(places / place / "BFM_model_front.mat", chance())
    model = open_face_model("bfm2009", LANDMARKS)
    assert len(model.mean) == arrays["meanshape"].size // 3
    again = open_face_model("bfm2009", LANDMARKS)  # from the cache now
    torch.testing.assert_close(again.identity_basis, model.identity_basis)
    assert stored_sizes(face_model_path("bfm2009", LANDMARKS)) == (50, 80, 64, 80)


def test_the_users_own_folder_comes_first(places: Path) -> None:
    write_front_mat(places / "third_party/bfm/BFM_model_front.mat", chance(1))
    write_front_mat(places / "models/BFM_model_front.mat", chance(2))
    found = find_source("bfm2009")
    assert found is not None
    assert found.path == places / "models"


def test_other_files_make_another_card(places: Path) -> None:
    """A card is a source of stages: what was fitted with other files must become stale."""
    path = places / "models/BFM_model_front.mat"
    write_front_mat(path, chance(1))
    kept = path.read_bytes()  # a MATLAB file has the time within
    first = face_model_card("bfm2009", LANDMARKS).read_text()
    assert face_model_card("bfm2009", LANDMARKS).read_text() == first
    write_front_mat(path, chance(2))
    assert face_model_card("bfm2009", LANDMARKS).read_text() != first
    path.write_bytes(kept)
    assert face_model_card("bfm2009", LANDMARKS).read_text() == first


def test_card_of_the_default_model_names_its_version() -> None:
    card = face_model_card("anny", LANDMARKS)
    assert card.read_text() == card.stem + "\n"
    assert card.stem.startswith("anny-0.6")
    assert card.stem.endswith(f"-{LANDMARKS.detector}-r{face_model.REVISION}")


def test_imported_files_need_not_stay(places: Path) -> None:
    folder = places / "elsewhere"
    folder.mkdir()
    write_2009_parts(folder, chance())
    listed = import_face_model(folder, None, LANDMARKS)
    assert (listed.name, listed.found) == ("bfm2009", True)
    assert listed.sizes == "50 vertices, 80/64/80 modes"
    in_place = places / "models"
    for file in folder.iterdir():
        file.replace(in_place / file.name)
    card = face_model_card("bfm2009", LANDMARKS).read_text()
    face_model_path("bfm2009", LANDMARKS).unlink()  # prepared anew from the imported copy
    assert len(open_face_model("bfm2009", LANDMARKS).mean) == 50
    (places / "cache/face_models/imported/bfm2009.json").unlink()
    assert face_model_card("bfm2009", LANDMARKS).read_text() == card  # the same files, in place


def test_the_cache_has_no_pickle_and_no_path(places: Path) -> None:
    path = places / "elsewhere/BFM_model_front.mat"
    path.parent.mkdir()
    write_front_mat(path, chance())
    import_face_model(path, "my-basel", LANDMARKS)
    stored = places / "cache/face_models/imported/my-basel.npz"
    assert load_model(stored).source == "bfm2009"  # reads with allow_pickle=False
    note = json.loads(stored.with_suffix(".json").read_text())
    assert note["files"] == ["BFM_model_front.mat"]
    assert "no redistribution" in note["terms"]
    assert not list(stored.parent.glob("*.tmp*"))
    names = [listed.name for listed in list_face_models(LANDMARKS)]
    assert "my-basel" in names


def test_an_import_of_other_readers_is_not_used(places: Path) -> None:
    path = places / "elsewhere/BFM_model_front.mat"
    path.parent.mkdir()
    write_front_mat(path, chance())
    import_face_model(path, None, LANDMARKS)
    face_model_path("bfm2009", LANDMARKS).unlink()
    note = places / "cache/face_models/imported/bfm2009.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "revision": 0}))
    with pytest.raises(MissingAssetError, match="imported by another version"):
        open_face_model("bfm2009", LANDMARKS)
    stored = note.with_suffix(".npz")
    note.write_text(json.dumps({**json.loads(note.read_text()), "revision": 1}))
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(MissingAssetError, match="cannot be read"):
        open_face_model("bfm2009", LANDMARKS)
    note.write_text("half a no")
    assert find_import("bfm2009") is None


def test_a_failed_import_keeps_nothing(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ShapeError("the detector's turn")

    path = places / "BFM_model_front.mat"
    write_front_mat(path, chance())
    monkeypatch.setattr(face_model, "_prepare", refuse)
    with pytest.raises(ShapeError):
        import_face_model(path, None, LANDMARKS)
    assert not list((places / "cache").rglob("*.npz"))
    assert find_import("bfm2009") is None


@pytest.mark.parametrize("name", ["anny", "ict", "../x", "A", "a b", ""])
def test_names_that_would_mislead_are_refused(places: Path, name: str) -> None:
    path = places / "BFM_model_front.mat"
    write_front_mat(path, chance())
    if name == "":
        assert import_face_model(path, None, LANDMARKS).name == "bfm2009"
        return
    with pytest.raises(ConfigError, match="cannot be called"):
        import_face_model(path, name, LANDMARKS)


def test_incomplete_folders_are_told_what_is_missing(places: Path) -> None:
    folder = places / "parts"
    folder.mkdir()
    write_2009_parts(folder, chance())
    (folder / "Exp_Pca.bin").unlink()
    with pytest.raises(MissingAssetError, match=r"lacks Exp_Pca\.bin") as error:
        recognise(folder)
    assert "3DFace" in error.value.remedy


def test_files_tell_which_model_they_are(places: Path) -> None:
    folder = places / "parts"
    folder.mkdir()
    write_2009_parts(folder, chance())
    assert recognise(folder / "Exp_Pca.bin").source.name == "bfm2009"
    (folder / "model2019_face12.h5").write_bytes(b"")
    assert recognise(folder / "model2019_face12.h5").source.name == "bfm2019-face12"
    with pytest.raises(MissingAssetError, match="several face models: bfm2009, bfm2019-face12"):
        recognise(folder)
    assert recognise(folder, "bfm2019-face12").path.name == "model2019_face12.h5"
    (folder / "mine.h5").write_bytes(b"")
    with pytest.raises(MissingAssetError, match="does not tell which face model") as error:
        recognise(folder / "mine.h5")
    assert "model2019_bfm.h5" in error.value.remedy
    assert recognise(folder / "mine.h5", "bfm2017").source.name == "bfm2017"
    with pytest.raises(MissingAssetError, match="holds no face model"):
        recognise(places / "models")
    with pytest.raises(MissingAssetError, match="no such file or folder"):
        recognise(places / "nowhere")


def test_a_checkout_of_ict_is_found_beside_bfm(places: Path) -> None:
    write_ict(places / "third_party/ICT-FaceKit", chance(), ("jawOpen",))
    found = find_source("ict")
    assert found is not None
    assert len(found.files) == 5  # neutral head, lists, two identities, one expression
    assert len(found.read().expression_names) == 1


def test_damaged_files_end_in_a_remedy(places: Path) -> None:
    write_2009_parts(places / "models", chance())
    (places / "models/Exp_Pca.bin").write_bytes(b"\x00" * 8)
    with pytest.raises(ShapeError, match="fetch them again"):
        open_face_model("bfm2009", LANDMARKS)


def test_everything_is_listed(places: Path) -> None:
    listed = {model.name: model for model in list_face_models(LANDMARKS)}
    assert list(listed) == ["anny", *source_names()]
    assert listed["anny"].found
    assert not any(model.found for name, model in listed.items() if name != "anny")
    assert all(model.terms and model.origin for model in listed.values())
    write_front_mat(places / "models/BFM_model_front.mat", chance())
    found = {model.name: model for model in list_face_models(LANDMARKS)}["bfm2009"]
    assert found.found
    assert found.where == str(places / "models")


@pytest.mark.parametrize("file", ["BFM_model_front.mat", "model2019_face12.h5"])
def test_a_page_in_a_models_place_is_not_found(places: Path, file: str) -> None:
    (places / "models" / file).write_text("<html>please register</html>")
    listed = {model.name: model for model in list_face_models(LANDMARKS)}
    assert [name for name, model in listed.items() if model.found] == ["anny"]
    assert [model.where for model in listed.values() if "is not of that format" in model.where]


def test_a_checkout_without_its_lists_is_not_found(places: Path) -> None:
    folder = places / "third_party/ICT-FaceKit/FaceXModel"
    folder.mkdir(parents=True)
    (folder / "generic_neutral_mesh.obj").write_text("v 0 0 0\n")
    listed = {model.name: model for model in list_face_models(LANDMARKS)}["ict"]
    assert not listed.found
    assert "lacks vertex_indices.json" in listed.where


def test_toy_model_keeps_its_expression_of_an_open_mouth(tmp_path: Path) -> None:
    from dataclasses import replace

    from metatalk.stages.model_cache import keep_model

    model = replace(toy_model(), wide_open=torch.tensor([0.5, 0.0, 1.0, 0.0]))
    keep_model(tmp_path / "toy.npz", model)
    torch.testing.assert_close(load_model(tmp_path / "toy.npz").open_mouth, model.wide_open)
    assert stored_sizes(tmp_path / "toy.npz") == (60, 3, 4, 6)
    assert stored_sizes(tmp_path / "nothing.npz") is None
