"""Measure the face fit: on synthetic clips whose truth is known, and on real footage.

Clips and landmarks are kept (--cache): they do not change when the fit does, so that measuring
again costs only the fit. Words of the form fit.keyframes=24 change its settings.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch
from synthetic_faces.embedding import describe_embedding, learn_embedding, save_embedding
from synthetic_faces.footage import Footage, find_footage, open_footage, presenter_truth
from synthetic_faces.sheets import write_sheet
from synthetic_faces.store import Filmed, Recipe, keeper_of, open_clip, with_true_landmarks

from metatalk.config import load_config
from metatalk.evaluate.fit_errors import FitErrors, measure_fit
from metatalk.evaluate.fit_errors_footage import FootageErrors, measure_footage
from metatalk.evaluate.fit_errors_table import errors_table, footage_table, units_table
from metatalk.fitting.config import FitConfig
from metatalk.fitting.reconstruct import Readable, Reconstruction, reconstruct
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.model import MorphableModel
from metatalk.presenter.files import presenter_files
from metatalk.stages.face_model import open_face_model

FRAMES, QUICK_FRAMES = 100, 40
PEOPLE = 6
LONGEST_S = 30.0
COMMAND = "python tools/measure_fit.py"


@dataclass(frozen=True, eq=False)
class Still:
    """A picture in memory, as the fit takes it."""

    index: int
    pixels: np.ndarray

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return np.ascontiguousarray(self.pixels)


@dataclass(frozen=True, eq=False)
class Bench:
    """What all fits of a run have in common."""

    model: MorphableModel
    config: FitConfig
    cache: Path

    def fit(
        self, landmarks: LandmarkTrack, pictures: Iterable[Readable], size: tuple[int, int],
        rate: float,
    ) -> tuple[Reconstruction, float]:  # fmt: skip
        """Fit as the stage does; the seconds it took with it."""
        begun = time.perf_counter()
        found = reconstruct(self.model, landmarks, pictures, size, rate, self.config)
        return found, time.perf_counter() - begun


def main(words: Sequence[str] | None = None) -> int:
    """Make what is missing, fit, measure, and print."""
    options = _parser().parse_args(words)
    options.clips = options.clips or (1 if options.quick else PEOPLE)
    torch.set_num_threads(options.threads)
    config = load_config(words=options.settings)
    model = open_face_model(config.fit.face_model, config.landmarks)
    if options.embed or options.prepare:
        print(_without_fit(model, options))
        return 0
    bench = Bench(model, config.fit, options.cache)
    text, values = _real(bench, options) if options.real else _synthetic(bench, options)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(values, indent=1) + "\n")
    if options.write:
        options.write.write_text(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", help="such as fit.keyframes=24")
    parser.add_argument("--clips", type=int, help="people: 6, or 1 with --quick")
    parser.add_argument("--heights", default="100,200,400", help="of the face, pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the first person")
    parser.add_argument("--spread", type=float, default=0.7, help="of the identity coefficients")
    parser.add_argument("--quick", action="store_true", help="40 frames, no presenter")
    parser.add_argument("--true-landmarks", action="store_true", help="in place of detected ones")
    parser.add_argument("--prepare", action="store_true", help="make the clips, fit nothing")
    parser.add_argument("--embed", type=Path, help="learn where landmarks lie; fit nothing")
    parser.add_argument("--no-presenter", action="store_true", help="leave the presenter out")
    parser.add_argument("--real", type=Path, help="measure the clips in this folder instead")
    parser.add_argument("--only", default="", help="clips whose names contain this")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the worst frames")
    parser.add_argument("--json", type=Path, help="all numbers of all clips")
    parser.add_argument("--write", type=Path, help="the tables, as Markdown")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    kept = Path(gettempdir()) / "metatalk-synthetic"
    parser.add_argument("--cache", type=Path, default=kept, help="for clips and landmarks")
    return parser


def _without_fit(model: MorphableModel, options: argparse.Namespace) -> str:
    """Only make the clips, or learn from them where the landmarks lie."""
    clips = _clips(model, options)
    if not options.embed:
        return "\n".join(filmed.recipe.name for filmed in clips)
    embedding = learn_embedding(model, clips)
    save_embedding(options.embed, embedding)
    return describe_embedding(model, embedding)


def _synthetic(bench: Bench, options: argparse.Namespace) -> tuple[str, object]:
    """The tables of the synthetic clips and the presenter."""
    columns: dict[str, list[FitErrors]] = defaultdict(list)
    values = []
    for filmed in _clips(bench.model, options):
        if options.true_landmarks:
            filmed = with_true_landmarks(bench.model, filmed)
        pictures = filmed.clip.pictures
        frames, height, width, _ = pictures.shape
        stills = (Still(number, picture) for number, picture in enumerate(pictures))
        found, seconds = bench.fit(filmed.landmarks, stills, (width, height), filmed.clip.rate)
        errors = measure_fit(bench.model, filmed.clip.truth, found, filmed.landmarks)
        columns[f"{filmed.recipe.face_px} px"].append(errors)
        values.append({"clip": filmed.recipe.name, "seconds": seconds, **errors.as_dict()})
        _say(filmed.recipe.name, errors, frames / seconds)
    if not (options.quick or options.no_presenter):
        errors, speed = _presenter(bench)
        columns["presenter"].append(errors)
        values.append({"clip": "presenter", **errors.as_dict()})
        _say("presenter", errors, speed)
    return _report(columns, options), values


def _clips(model: MorphableModel, options: argparse.Namespace) -> Iterator[Filmed]:
    """The randomised clips that the options ask for, one at a time."""
    frames = QUICK_FRAMES if options.quick else FRAMES
    for seed in range(options.seed, options.seed + options.clips):
        person = keeper_of(model, seed, options.spread)
        for height in (int(word) for word in options.heights.split(",")):
            recipe = Recipe(seed, options.spread, height, frames)
            yield open_clip(options.cache, model, recipe, person)


def _presenter(bench: Bench) -> tuple[FitErrors, float]:
    footage = open_footage(presenter_files().video, LONGEST_S, bench.cache)
    found, seconds = _fit_footage(bench, footage)
    errors = measure_fit(bench.model, presenter_truth(bench.model), found, footage.landmarks)
    return errors, footage.frames / seconds


def _fit_footage(bench: Bench, footage: Footage) -> tuple[Reconstruction, float]:
    return bench.fit(footage.landmarks, footage.pictures(), footage.size, float(footage.rate))


def _say(name: str, errors: FitErrors, speed: float) -> None:
    print(
        f"{name}: shape {errors.shape_rigid_mm:.2f}/{errors.shape_similarity_mm:.2f} mm, "
        f"yaw {errors.yaw_deg:.2f}, lip gap {errors.lip_gap_r:.3f}, jaw {errors.jaw_r:.3f}, "
        f"leak {errors.leak:.3f} {_short(errors.leaks)}, {speed:.0f} frames/s",
        file=sys.stderr,
    )


def _short(leaks: dict[str, float]) -> str:
    return " ".join(f"{name} {amount:.2f}" for name, amount in leaks.items())


def _report(columns: dict[str, list[FitErrors]], options: argparse.Namespace) -> str:
    heights = ", ".join(columns)
    frames = QUICK_FRAMES if options.quick else FRAMES
    people = options.clips
    return (
        f"# Accuracy of the fit\n\n{_PREFACE}\n"
        f"{people} people (seeds {options.seed} to {options.seed + people - 1}, identity spread "
        f"{options.spread:g}), {frames} frames each; columns: {heights}. A cell is the median "
        "over the clips and, in brackets, the worst of them.\n\n"
        f"{errors_table(columns)}\n\n## Face units\n\n{_UNITS}\n\n{units_table(columns)}\n"
    )


_PREFACE = f"""Made by `{COMMAND} --write docs/fit_accuracy.md`: do not edit.

Synthetic people of the default face model talk, keep still, and turn their heads by up to 40
degrees before a random lens and a random light; noise, blur and JPEG are added. Landmarks are
detected on the pictures as on any others, and the result is held against what was drawn. The
face's height is told in pixels. Rows in italics are no errors of the fit: what knowing nothing
about the person would give, and what the detector, which the fit is given, does by itself.
"""
_UNITS = """Pearson's r of each unit with the truth, in the clips in which it moves. Several units
do nearly the same to a face; where their r is low but the lip gap's and the jaw's are high, one of
them has spoken for the other."""


def _real(bench: Bench, options: argparse.Namespace) -> tuple[str, object]:
    """The table of real footage."""
    rows: dict[str, tuple[FootageErrors, float, float]] = {}
    for path in find_footage(options.real):
        if options.only not in path.stem:
            continue
        footage = open_footage(path, LONGEST_S, bench.cache)
        found, seconds = _fit_footage(bench, footage)
        errors = measure_footage(bench.model, found, footage.landmarks)
        rows[path.stem] = errors, footage.frames / seconds, footage.frames / footage.landmarks_s
        print(f"{path.stem}: {errors.as_dict()}, {footage.frames / seconds:.0f} frames/s",
              file=sys.stderr)  # fmt: skip
        if options.sheets:
            sheet = options.sheets / f"{path.stem}.png"
            write_sheet(sheet, bench.model, footage, found, errors.frame_pct)
    values = {name: errors.as_dict() for name, (errors, _, _) in rows.items()}
    return footage_table(rows) + "\n", values


if __name__ == "__main__":
    raise SystemExit(main())
