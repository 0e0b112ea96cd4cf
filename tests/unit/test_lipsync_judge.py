"""The judge of lip sync: figures by hand, two networks, and whether it can be believed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sync_toys import toy_faces, toy_judge, toy_signal, toy_sound, toy_track

from metatalk.errors import ConfigError, MediaError, MissingAssetError, ShapeError
from metatalk.lipsync.checkpoints import CheckpointRecord
from metatalk.lipsync.faces import face_boxes
from metatalk.lipsync.judge import Judge, open_judge
from metatalk.lipsync.judge_trial import (
    EARLIER,
    FROZEN,
    LATER,
    REAL,
    SHUFFLED,
    freeze_mouth,
    rank_versions,
    sound_versions,
    tell_from_shuffled,
)
from metatalk.lipsync.mel import wav2lip_mel
from metatalk.lipsync.mfcc import syncnet_mfcc
from metatalk.lipsync.sync_config import SyncConfig
from metatalk.lipsync.sync_figures import (
    SyncFigures,
    count_windows,
    distance_rows,
    figures_of_rows,
    sync_figures,
)
from metatalk.lipsync.sync_runs import first_seconds, plan_runs
from metatalk.lipsync.syncnet import ColourExpert, SyncNet
from metatalk.lipsync.syncnet_crop import crop_for_syncnet, syncnet_places
from metatalk.lipsync.tracks import frames_at_rate
from metatalk.lipsync.wav2lip import QualityDiscriminator

RECORD = CheckpointRecord("SyncNet v2", "syncnet_v2.model", "0" * 64, "the public ones", False)


# ------------------------------------------------------------------ figures


def test_figures_of_a_case_computed_by_hand() -> None:
    # Lips at place t on a line; sound the same, three frames early: |lips - sound| is then
    # |3 + s - 15| steps for shift s, but for the zero padding at the ends.
    place = torch.arange(100, 400, dtype=torch.float32)[:, None]
    figures = sync_figures(place, place + 3)
    assert figures.offset_frames == 3
    assert figures.offset_ms == 120
    rows = place[:, 0]
    padded = torch.cat([torch.zeros(15), rows + 3, torch.zeros(15)])
    means = [float((rows - padded[s : s + 300]).abs().mean()) for s in range(31)]
    assert figures.distance == pytest.approx(means[12], rel=1e-6)
    assert figures.confidence == pytest.approx(np.median(means) - means[12], rel=1e-6)
    assert figures.confidence_at(3) == pytest.approx(figures.confidence)
    assert figures.confidence_at(0) == pytest.approx(np.median(means) - means[15], rel=1e-6)
    # Away from the ends every window has the distance 0 at the best shift.
    assert figures.windows == 300
    assert figures.frame_confidence[100] == pytest.approx(np.median(means), rel=1e-6)


def test_two_windows_by_hand_with_and_without_padding() -> None:
    lips, sound = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 4.0], [0.0, 1.0]])
    padded = distance_rows(lips, sound)
    assert padded[0, [14, 15, 16, 17]].tolist() == pytest.approx([3, 5, 10**0.5, 3])
    assert padded[1, [13, 14, 15, 16]].tolist() == pytest.approx([1, 3, 0, 1])
    bare = distance_rows(lips, sound, padded=False)
    assert torch.isnan(bare).sum() == 2 * 31 - 4
    torch.testing.assert_close(bare[0, 15:17], padded[0, 15:17])
    torch.testing.assert_close(bare[1, 14:16], padded[1, 14:16])


def test_several_stretches_count_by_their_windows() -> None:
    short, long = torch.full((50, 31), 2.0), torch.full((150, 31), 6.0)
    short[:, 20], long[:, 10] = 1.0, 4.0
    figures = figures_of_rows([short, long])
    assert figures.offset_frames == 5  # the long one's
    assert figures.curve[10] == pytest.approx((50 * 2 + 150 * 4) / 200)
    assert figures.curve[0] == pytest.approx((50 * 2 + 150 * 6) / 200)
    assert figures.windows == 200


@pytest.mark.parametrize("windows", [0, 44])
def test_figures_of_short_clips_are_refused(windows: int) -> None:
    with pytest.raises(MediaError, match="two seconds"):
        sync_figures(torch.zeros(windows, 4), torch.zeros(windows, 4))
    sync_figures(torch.zeros(45, 4), torch.zeros(45, 4))  # two seconds


def test_windows_are_those_of_the_evaluation() -> None:
    assert count_windows(50, 50 * 640) == 45
    assert count_windows(50, 50 * 640 - 1) == 44
    assert count_windows(3, 10_000) == 0
    # The last window's sound ends within the coefficients of the sound that there is.
    assert syncnet_mfcc(np.zeros(50 * 640, np.float32)).shape[1] == 4 * 44 + 20 + 3


# ------------------------------------------------------------------ the two networks


@pytest.fixture(scope="module")
def expert() -> Judge:
    torch.manual_seed(0)
    return Judge("expert", ColourExpert().eval(), RECORD, ours=True, batch=4)


@pytest.fixture(scope="module")
def syncnet() -> Judge:
    torch.manual_seed(0)
    return Judge("syncnet", SyncNet().eval(), RECORD, ours=False, batch=2)


def random_faces(count: int, px: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, px, px, 3), np.uint8)


def test_the_expert_is_shown_lower_halves_in_bgr_frame_by_frame(expert: Judge) -> None:
    faces = random_faces(11, 96)
    window = [face[48:, :, ::-1].transpose(2, 0, 1) for face in faces[6:11]]
    stacked = torch.from_numpy(np.concatenate(window)).float()[None] / 255
    samples = toy_sound(toy_signal(20))
    mel = torch.from_numpy(wav2lip_mel(samples)[:, 19:35])[None, None]  # floor(3.2 * 6)
    with torch.inference_mode():
        sound, lips = expert.network(mel, stacked)
    torch.testing.assert_close(expert.embed_lips(faces)[6:7], lips, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(expert.embed_sound(samples, 8)[6:7], sound, atol=1e-5, rtol=1e-4)


def test_syncnet_is_shown_whole_faces_in_bgr(syncnet: Judge) -> None:
    faces = random_faces(8, 224)
    window = torch.from_numpy(faces[3:8, :, :, ::-1].transpose(3, 0, 1, 2).copy()).float()[None]
    samples = toy_sound(toy_signal(20))
    mfcc = torch.from_numpy(syncnet_mfcc(samples)[:, 12:32])[None, None]
    with torch.inference_mode():
        lips, sound = syncnet.network.embed_lips(window), syncnet.network.embed_sound(mfcc)
    found = syncnet.embed_lips(faces)
    assert found.shape == (4, 1024)
    torch.testing.assert_close(found[3:4], lips, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(syncnet.embed_sound(samples, 5)[3:4], sound, atol=1e-4, rtol=1e-3)


def test_a_stream_is_embedded_as_an_array_is(expert: Judge) -> None:
    faces = random_faces(13, 96)
    whole = expert.embed_lips(faces)
    assert whole.shape == (9, 512)
    torch.testing.assert_close(expert.embed_lips(iter(faces)), whole)
    assert len(expert.embed_lips(faces[:4])) == 0


def test_sound_that_is_too_short_is_refused(expert: Judge) -> None:
    with pytest.raises(ShapeError, match="not the sound"):
        expert.embed_sound(np.zeros(6400, np.float32), 10)
    with pytest.raises(ShapeError, match="faces"):
        expert.embed_lips(random_faces(5, 64))


def test_only_the_public_syncnet_goes_without_a_star(expert: Judge, syncnet: Judge) -> None:
    names = [(each.distance_name, each.confidence_name) for each in (expert, syncnet)]
    assert names == [("LSE-D*", "LSE-C*"), ("LSE-D", "LSE-C")]
    ours = Judge("syncnet", syncnet.network, RECORD, ours=True)
    assert ours.star == "*"


def test_a_file_says_which_judge_it_holds(expert: Judge, syncnet: Judge, tmp_path: Path) -> None:
    own = tmp_path / "expert.safetensors"
    save_file(expert.network.state_dict(), own, {"terms": "mine", "commercial": "true"})
    official = tmp_path / "syncnet_v2.model"
    torch.save(syncnet.network.state_dict(), official)
    opened = [open_judge(path) for path in (own, official)]
    assert [(judge.kind, judge.ours, judge.star) for judge in opened] == [
        ("expert", True, "*"),
        ("syncnet", False, ""),
    ]
    assert opened[0].record.terms == "mine"
    assert [judge.crop_px for judge in opened] == [96, 224]


def test_no_judge_and_another_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no judge of lip sync is set") as refusal:
        open_judge(None)
    assert "train_syncnet" in refusal.value.remedy
    with pytest.raises(MissingAssetError, match="there is no judge at"):
        open_judge(tmp_path / "absent.pth")
    other = tmp_path / "disc.pth"
    torch.save(QualityDiscriminator().state_dict(), other)
    with pytest.raises(ConfigError, match="quality discriminator"):
        open_judge(other)


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("lead", [-5, 0, 2])
def test_the_offset_is_found_with_its_sign(lead: int) -> None:
    signal = toy_signal(100)
    figures = toy_judge().judge(toy_faces(signal), toy_sound(signal, lead))
    assert figures.offset_frames == lead
    assert figures.confidence > 0.3


def test_faces_of_another_rate_are_judged_at_25() -> None:
    signal = toy_signal(100)
    faces = toy_faces(np.repeat(signal, 2))
    seen = faces[frames_at_rate(np.arange(200) / 50)]
    figures = toy_judge().judge(seen, toy_sound(signal, 3))
    assert (figures.offset_frames, figures.windows) == (3, 95)


def test_short_or_silent_faces_have_no_verdict() -> None:
    signal = toy_signal(100)
    with pytest.raises(MediaError, match="silent"):
        toy_judge().judge(toy_faces(signal), np.zeros(64_000, np.float32))
    with pytest.raises(MediaError, match="too few"):
        toy_judge().judge(toy_faces(signal[:49]), toy_sound(signal))


def test_unpadded_figures_of_two_seconds_are_not_drawn_to_the_ends() -> None:
    # Unit vectors that have nothing to do with each other: a zero vector is nearer than any.
    rng = torch.Generator().manual_seed(0)
    lips, sound = (
        torch.nn.functional.normalize(torch.randn(45, 64, generator=rng)) for _ in range(2)
    )
    padded = figures_of_rows([distance_rows(lips, sound)])
    bare = figures_of_rows([distance_rows(lips, sound, padded=False)])
    assert abs(padded.offset_frames) >= 14
    assert padded.confidence > 2 * bare.confidence


# ------------------------------------------------------------------ trials


def versions_of(lead: int = 0) -> dict[str, SyncFigures]:
    judge, signal = toy_judge(), toy_signal(150)
    faces, sound = toy_faces(signal), toy_sound(signal, lead)
    tampered = sound_versions(sound, np.random.default_rng(0))
    found = {name: judge.judge(faces, heard) for name, heard in tampered.items()}
    return {**found, FROZEN: judge.judge(freeze_mouth(faces), sound)}


def test_versions_come_out_in_the_right_order() -> None:
    versions = versions_of(lead=2)
    assert [versions[name].offset_frames for name in (REAL, EARLIER, LATER)] == [2, 7, -3]
    assert rank_versions(versions).is_right


@pytest.mark.parametrize("name", [SHUFFLED, FROZEN])
def test_a_judge_that_likes_tampered_footage_is_found_out(name: str) -> None:
    versions = versions_of()
    faults = rank_versions({**versions, name: versions[REAL]}).faults
    assert f"{name}: fits as well as the real at the real's offset" in faults
    assert f"{name}: has as much confidence as real" in faults


def test_displacements_that_are_not_found_are_faults() -> None:
    versions = versions_of()
    still = {**versions, EARLIER: versions[REAL]}
    faults = rank_versions(still).faults
    assert f"{EARLIER}: the offset moves by 0 frames, not 5" in faults
    assert f"{EARLIER}: fits as well as the real at the real's offset" in faults


def test_sound_is_displaced_the_way_its_name_says() -> None:
    samples = np.arange(1, 20_001, dtype=np.float32)
    versions = sound_versions(samples, np.random.default_rng(0))
    assert versions[EARLIER][0] == 3201
    assert versions[LATER][[0, 3199, 3200]].tolist() == [0, 0, 1]
    assert sorted(versions[SHUFFLED].tolist()) == samples.tolist()
    assert versions[SHUFFLED][0] in (8001, 16_001)
    assert {len(each) for each in versions.values()} == {20_000}


def test_a_frozen_mouth_leaves_the_eyes_alone() -> None:
    faces = random_faces(3, 96)
    frozen = np.stack(list(freeze_mouth(faces)))
    np.testing.assert_array_equal(frozen[:, :48], faces[:, :48])
    np.testing.assert_array_equal(frozen[:, 48:], np.repeat(faces[:1, 48:], 3, axis=0))


def embedded(parts: int, related: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    rng = torch.Generator().manual_seed(1)
    lips = [torch.randn(60, 8, generator=rng) for _ in range(parts)]
    noise = [torch.randn(60, 8, generator=rng) for _ in range(parts)]
    return lips, [seen + 2 * other if related else other for seen, other in zip(lips, noise)]  # noqa: B905


def test_a_clips_own_sound_is_told_from_shuffled_sound() -> None:
    rng = np.random.default_rng(0)
    found = tell_from_shuffled(distance_rows, *embedded(3, related=True), 39, rng)
    assert found is not None
    assert (found.as_good, found.p_value) == (0, 1 / 40)
    assert found.confidence > found.shuffled_confidence


def test_strange_sound_is_not() -> None:
    rng = np.random.default_rng(0)
    found = tell_from_shuffled(distance_rows, *embedded(3, related=False), 39, rng)
    assert found is not None
    assert found.p_value > 0.1


def test_two_seconds_are_too_short_to_be_shuffled() -> None:
    rng = np.random.default_rng(0)
    assert tell_from_shuffled(distance_rows, *embedded(1, related=True), 39, rng) is None


# ------------------------------------------------------------------ stretches and crops


def test_a_run_that_is_long_enough_by_the_containers_clock_is_judged() -> None:
    seconds = np.floor(np.arange(60) / 30 * 1000) / 1000  # whole milliseconds
    runs, _ = plan_runs(toy_track(60), seconds, 30.0, toy_sound(toy_signal(50)))
    assert [len(run.frames) for run in runs] == [50]


def test_only_the_first_seconds_are_kept() -> None:
    track, sound = toy_track(300, cuts=(100, 200)), toy_sound(toy_signal(300))
    runs, _ = plan_runs(track, np.arange(300) / 25, 25.0, sound)
    kept = first_seconds(runs, 6.4)
    assert [(run.start_s, len(run.frames), run.sound) for run in kept] == [
        (0.0, 100, slice(0, 64_000)),
        (4.0, 60, slice(64_000, 64_000 + 60 * 640)),
    ]
    assert len(first_seconds(runs, 5.0)) == 1  # what is left of the second is under two seconds
    assert [len(run.frames) for run in first_seconds(runs, float("inf"))] == [100] * 3


def test_runs_stay_inside_shots_and_the_rest_is_named() -> None:
    track = toy_track(300, cuts=(110, 140), faceless=slice(200, 210))
    sound = toy_sound(toy_signal(300))
    sound[210 * 640 :] = 0
    runs, left_out = plan_runs(track, np.arange(300) / 25, 25.0, sound)
    assert [(run.shot, run.start_s, run.end_s) for run in runs] == [(0, 0.0, 4.4), (2, 5.6, 8.0)]
    assert runs[1].frames.tolist() == list(range(140, 200))
    assert runs[1].sound == slice(140 * 640, 200 * 640)
    assert [(each.start_s, each.reason) for each in left_out] == [
        (4.4, "under two seconds"),
        (8.0, "no face"),
        (8.4, "silence"),
    ]


def test_judging_can_begin_later() -> None:
    runs, _ = plan_runs(toy_track(150), np.arange(150) / 25, 25.0, toy_sound(toy_signal(150)), 2.0)
    assert [(run.start_s, len(run.frames)) for run in runs] == [(2.0, 100)]


def test_a_run_whose_sound_ends_is_left_out() -> None:
    sound = toy_sound(toy_signal(40))
    runs, left_out = plan_runs(toy_track(100), np.arange(100) / 25, 25.0, sound)
    assert runs == []
    assert "the sound ends" in left_out[0].reason


def test_syncnets_square_is_as_its_pipeline_cuts_it() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    x, y, half = 150.3, 90.7, 80.4  # reaches beyond the upper edge
    reach = int(half * 1.8)
    wide = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), constant_values=110)
    top, bottom = int(y + reach - half), int(y + reach + half * 1.8)
    left, right = int(x + reach - half * 1.4), int(x + reach + half * 1.4)
    expected = wide[top:bottom, left:right]
    found = crop_for_syncnet(picture, np.array([x, y, half]))
    np.testing.assert_array_equal(found, cv2.resize(expected, (224, 224)))


def test_a_face_outside_the_picture_is_grey() -> None:
    found = crop_for_syncnet(np.zeros((50, 50, 3), np.uint8), np.array([900.0, 25.0, 20.0]))
    assert np.unique(found).tolist() == [110]


def test_places_are_steadied_by_the_median() -> None:
    track = toy_track(60)
    track.points[30, :, 0] += 40  # a slip of one frame
    places = syncnet_places(face_boxes(track, 0.0, 0.0))
    np.testing.assert_allclose(places, np.broadcast_to(places[:1], places.shape))
    left, top, right, bottom = face_boxes(track, 0.0, 0.0)[0]
    half = max(right - left, bottom - top) / 2
    assert places[0].tolist() == pytest.approx([(left + right) / 2, (top + bottom) / 2, half])


@pytest.mark.parametrize(
    "values", [{"batch": 0}, {"max_p": 0.0}, {"shuffles": 5}, {"shuffles": 19, "max_p": 0.01}]
)
def test_settings_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SyncConfig(**values)  # type: ignore[arg-type]
