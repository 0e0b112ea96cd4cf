"""Curves written and read back; files that cannot be read say where they are wrong."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from face_toys import UNITS, toy_model
from interchange_toys import NTSC, toy_take

from metatalk.errors import CurvesError
from metatalk.interchange.curves import write_csv, write_json
from metatalk.interchange.edits import Edits, apply_edits, remaining_share
from metatalk.interchange.reading import read_curves
from metatalk.interchange.take import Take

MODEL = toy_model()
FACTS = {"synthetic": True, "face_model": "toy"}
Rows = list[dict[str, str]]


def written(path: Path, take: Take) -> Path:
    if path.suffix == ".json":
        write_json(path, take, FACTS)
    else:
        write_csv(path, take)
    return path


def edited_rows(path: Path, change: Callable[[Rows], Rows | None], mark: str = ",") -> Path:
    """Rewrite a CSV as somebody with a spreadsheet would."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = change(rows) or rows
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # Excel's mark comes first
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=mark)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", ["take.csv", "take.json"])
def test_round_trip(tmp_path: Path, name: str):
    take = toy_take(20, cut=8, rate=NTSC)
    edits = read_curves(written(tmp_path / name, take), MODEL)
    assert edits.names == UNITS
    np.testing.assert_allclose(edits.seconds, take.index.seconds(), atol=1e-9)
    np.testing.assert_allclose(edits.values, take.track.expression, atol=1e-6)
    np.testing.assert_allclose(edits.rotation, take.track.rotation, atol=1e-7)
    np.testing.assert_allclose(edits.translation, take.track.translation, atol=1e-6)
    assert edits.shots.tolist() == take.shots.tolist()
    again = apply_edits(toy_take(20, cut=8, rate=NTSC), edits)
    for rows, name in ((again.track.expression, "expression"), (again.track.rotation, "rotation")):
        torch.testing.assert_close(rows, getattr(take.track, name), atol=1e-6, rtol=0)
    torch.testing.assert_close(again.track.translation, take.track.translation, atol=1e-4, rtol=0)


def test_csv_says_time_pose_and_lens(tmp_path: Path):
    take = toy_take(70, rate=NTSC)
    rows: Rows = []
    edited_rows(written(tmp_path / "a.csv", take), rows.extend)
    row = rows[61]
    assert (row["frame"], row["timecode"]) == ("61", "00:00:02:01")
    assert float(row["time_s"]) == pytest.approx(61 * 1001 / 30000, abs=1e-9)
    assert float(row["rotation_y_deg"]) == pytest.approx(
        np.degrees(float(take.track.rotation[61, 1])), abs=1e-5
    )
    assert float(row["focal_px"]) == 480.0
    assert float(row["focal_35mm_mm"]) == 480.0 / 320 * 36


def test_json_says_what_it_means(tmp_path: Path):
    path = written(tmp_path / "a.json", toy_take(3, rate=NTSC))
    content = json.loads(path.read_text())
    assert content["synthetic"] is True
    assert content["fps"] == "30000/1001"
    assert Fraction(content["frames"][2]["time"]) == Fraction(2002, 30000)
    assert set(content["frames"][0]["expression"]) == set(UNITS)
    assert {"rotation_deg", "translation_mm", "axes"} <= set(content["conventions"])


def test_columns_may_go_and_rows_may_come_in_any_order(tmp_path: Path):
    take = toy_take(6)

    def change(rows: Rows) -> Rows:
        kept = ("mouthSmileLeft", "time_s", "jawOpen")
        return [{name: row[name] for name in kept} | {"remark": "ok"} for row in rows[::-1]]

    edits = read_curves(edited_rows(written(tmp_path / "a.csv", take), change), MODEL)
    assert edits.names == ("mouthSmileLeft", "jawOpen")
    np.testing.assert_allclose(edits.values[:, 1], take.track.expression[:, 0], atol=1e-6)
    assert edits.rotation is None
    other = toy_take(6)
    other.track.expression[:, :2] = 0
    again = apply_edits(other, edits).track.expression
    torch.testing.assert_close(again, take.track.expression, atol=1e-6, rtol=0)
    assert not other.track.expression[:, :2].any()  # what was given is not written into


def test_a_column_that_means_nothing_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = edited_rows(
        written(tmp_path / "a.csv", toy_take()), lambda rows: [row | {"remark": ""} for row in rows]
    )
    with caplog.at_level(logging.WARNING):
        read_curves(path, MODEL)
    assert "remark" in caplog.text


@pytest.mark.parametrize("mark", [";", "\t"])
def test_spreadsheets_of_other_countries(tmp_path: Path, mark: str):
    take = toy_take()

    def change(rows: Rows) -> Rows:
        point = "," if mark == ";" else "."
        return [{name: cell.replace(".", point) for name, cell in row.items()} for row in rows]

    edits = read_curves(edited_rows(written(tmp_path / "a.csv", take), change, mark), MODEL)
    np.testing.assert_allclose(edits.values, take.track.expression, atol=1e-6)


def set_cell(row: int, name: str, value: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[row][name] = value

    return change


def renamed(old: str, new: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{new if k == old else k: v for k, v in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_cell(3, "jawOpen", "wide"), "row 5, jawOpen: the cell is 'wide'"),
        (set_cell(3, "jawOpen", ""), "row 5, jawOpen: the cell is empty"),
        (set_cell(0, "jawOpen", "nan"), "row 2, jawOpen"),
        (set_cell(0, "rotation_x_deg", "inf"), "row 2, rotation_x_deg"),
        (set_cell(4, "time_s", "0.080000000"), "row 4 and row 6 are both at 0.08"),
        (renamed("jawOpen", "jawOpne"), "did you mean jawOpen"),
        (renamed("jawOpen", "JAWOPN"), "did you mean jawOpen"),
        (renamed("time_s", "when"), "no column time_s"),
        (renamed("rotation_y_deg", "y"), "no column rotation_y_deg"),
        (lambda rows: [{"time_s": row["time_s"]} for row in rows], "no column is a unit"),
        (lambda rows: [dict.fromkeys(row, "") for row in rows], "holds no rows"),
        (renamed("mouthSmileLeft", "jawopen"), "two columns"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Callable[[Rows], Rows], words: str):
    path = edited_rows(written(tmp_path / "a.csv", toy_take()), change)
    with pytest.raises(CurvesError) as caught:
        read_curves(path, MODEL)
    assert words in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xff\xfe\x00jaw", "not text"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"[1, 2]", "no list of frames"),
        ("a.json", b'{"frames": 3}', "no list of frames"),
        ("a.json", b'{"frames": []}', "holds no rows"),
        ("a.json", b'{"frames": [{"time_s": 0, "expression": {"jawOpen": true}}]}', "frame 0, jaw"),
        ("a.json", b'{"frames": [{"time_s": 0, "expression": {"jawOpen": [1]}}]}', "frame 0, jaw"),
        (
            "a.json",
            b'{"frames": [{"time_s": 0, "expression": {"jawOpen": 1}}, {"time_s": 1}]}',
            "frame 1, jawOpen: the cell is empty",
        ),
        (
            "a.json",
            b'{"frames": [{"time_s": 0, "rotation_deg": [0, 0], "expression": {"jawOpen": 1}}]}',
            "no column rotation_z_deg",
        ),
    ],
)
def test_files_that_are_no_curves(tmp_path: Path, name: str, content: bytes, words: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CurvesError) as caught:
        read_curves(path, MODEL)
    assert words in str(caught.value)
    assert caught.value.remedy


def test_decimal_commas_between_commas_are_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("time_s,jawOpen\n0,0\n\n0,04,0,5\n")
    with pytest.raises(CurvesError, match="row 4 has 4 cells") as caught:
        read_curves(path, MODEL)
    assert "semicolons" in caught.value.remedy
    path.write_text("time_s,jawOpen\n0,0,,\n0.04,0.5, ,\n")  # as spreadsheets leave them
    assert read_curves(path, MODEL).values[:, 0].tolist() == [0.0, 0.5]


def test_times_before_the_clip_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "a.csv"
    path.write_text("time_s,jawOpen\n0,0\n-0.5,1\n")
    with caplog.at_level(logging.WARNING):
        assert read_curves(path, MODEL).seconds.tolist() == [-0.5, 0.0]
    assert "row 3 is at -0.5 s" in caplog.text


def test_no_file(tmp_path: Path):
    with pytest.raises(CurvesError, match="cannot be read"):
        read_curves(tmp_path / "none.csv", MODEL)


def test_percent_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = edited_rows(written(tmp_path / "a.csv", toy_take()), set_cell(2, "jawOpen", "80"))
    with caplog.at_level(logging.WARNING):
        assert read_curves(path, MODEL).values.max() == 80
    assert "row 4, jawOpen is 80" in caplog.text
    assert "1 values" in caplog.text


def ramp(count: int, rate: float, shots: list[int] | None = None) -> Edits:
    """jawOpen that says what time it is."""
    seconds = np.arange(count) / rate
    numbers = None if shots is None else np.array(shots)
    return Edits(seconds, ("jawOpen",), seconds[:, None], shots=numbers)


@pytest.mark.parametrize("rate", [24.0, 30000 / 1001, 60.0, 7.0])
def test_any_rate_gives_the_same_curve(rate: float):
    asked = np.linspace(0, 0.99, 34)
    sampled = ramp(int(rate) + 2, rate).sample(asked)
    np.testing.assert_allclose(sampled.values[:, 0], asked, atol=1e-12)


def test_curves_are_not_mixed_across_a_cut():
    edits = ramp(4, 10.0, [0, 0, 1, 1])
    times = np.array([0.05, 0.13, 0.17, 0.2])
    assert edits.sample(times).values[:, 0] == pytest.approx([0.05, 0.1, 0.1, 0.2])
    known = edits.sample(times, np.array([0, 0, 1, 1]))
    assert known.values[:, 0] == pytest.approx([0.05, 0.1, 0.2, 0.2])


def test_a_cut_is_where_it_was_before_its_time_was_written(tmp_path: Path):
    for cut in range(1, 9):  # some of these times are rounded up, some down
        take = toy_take(10, cut=cut, rate=NTSC)
        edits = read_curves(written(tmp_path / "a.csv", take), MODEL)
        values = edits.sample(take.index.seconds()).values
        np.testing.assert_allclose(values, take.track.expression, atol=1e-4)


def test_the_ends_are_held():
    edits = ramp(3, 10.0)
    assert edits.sample(np.array([-1.0, 5.0])).values[:, 0] == pytest.approx([0.0, 0.2])


def test_curves_that_end_fade_to_rest():
    share = remaining_share(ramp(11, 10.0), np.array([0.5, 1.0, 1.2, 1.35, 1.5, 9.0]))
    assert share == pytest.approx([1, 1, 1, 0.5, 0, 0])
