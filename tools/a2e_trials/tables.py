"""The tables: what is trained on what, and what is asked of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from a2e_trials.footage import Filmed
from a2e_trials.marks import Errors, LipMarks, mark_errors, movement
from a2e_trials.trial import Answer, Bench, Pupil, batch_ms, minute_ms, offset_of, teach
from metatalk.a2e.activity import hear_speech
from metatalk.a2e.architectures.choice import NETWORKS
from metatalk.a2e.config import STREAMS
from metatalk.errors import ConfigError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, SAMPLE_RATE
from metatalk.media.audio import read_sound

Row = dict[str, str | int | float]
REFERENCE = "bilstm"  # what the ratios are to
ALONE = "ours without kernel"
FEATURES = ("mel", "mel+mfcc", "mel+phones", "speech", "mel+speech", "mel+speech+phones")
_QUIET_DB = -60.0
_RATIOS = ("ms a batch", "training, s", "ms a minute", "MSE, mm²")


@dataclass(frozen=True)
class Fold:
    """One of several equal stretches of a clip, asked about by who learned from the others."""

    number: int
    count: int


Cut = tuple[float, float] | Fold  # seconds: learned from up to the first, asked from the second


def networks(
    bench: Bench, films: Sequence[Filmed], cut: Cut | None, features: str | None, names: str
) -> Iterator[Row]:
    """The field's networks and ours on the same footage; ratios to the bidirectional LSTM."""
    wanted = sorted(names.split(","), key=lambda name: name != REFERENCE)
    for film in films:
        own, asked = parted(film, cut)
        reference: Row | None = None
        for name in wanted:
            pupil = teach(_bench_for(bench, name, features), own)
            answer = pupil.ask(asked, pupil.offset_s)
            row = _cost_row(film.name, name, pupil, answer)
            reference = row if name == REFERENCE else reference
            yield row | ratios(row, reference)
        still = mark_errors(np.zeros_like(answer.mouth), asked, pupil.space)
        yield {"actor": film.name, "network": "always the mean", **_errors(still)}


def curve(bench: Bench, film: Filmed, lengths: Sequence[float], start: float) -> Iterator[Row]:
    """How much footage is needed to be asked about what comes from second `start` on."""
    fitting = [length for length in lengths if length <= start] or [start]
    for length in fitting:
        own, asked = parted(film, (length, start))
        pupil = teach(bench, own)
        answer = pupil.ask(asked, pupil.offset_s)
        yield {
            "actor": film.name,
            "footage, s": length,
            **_lips(answer.lips),
            **_errors(answer.errors),
            "steps": pupil.metrics["steps"],
            "training, s": pupil.spent_s,
        }


def voices(bench: Bench, film: Filmed, others: Sequence[Filmed], cut: Cut | None) -> Iterator[Row]:
    """Voices that were never heard, each against its own mouth; then their mean and worst."""
    pupil = teach(bench, film if cut is None else parted(film, cut)[0])
    marks = []
    for other in others:
        marks.append(_ask_other(pupil, other))
        yield {"actor": film.name, "voice": other.name, **_lips(marks[-1])}
    yield {"actor": film.name, "voice": "mean", **mean_lips(marks)}
    yield {"actor": film.name, "voice": "worst", **worst_lips(marks)}


def leave_one_out(bench: Bench, films: Sequence[Filmed], pooled: bool) -> Iterator[Row]:
    """Every clip in turn: as the actor whom the others ask, or left out of what all learn from."""
    if len(films) < 2:
        raise ConfigError("leaving one of one voice out leaves none", "Give two clips or more.")
    for film in films:
        others = [other for other in films if other is not film]
        if pooled:
            marks = [_ask_other(teach(bench, others[-1], others[:-1]), film)]
            yield {"left out": film.name, **_lips(marks[0])}
            continue
        pupil = teach(bench, film)
        marks = [_ask_other(pupil, other) for other in others]
        cells: Row = {other.name: "–" for other in films}
        for other, mark in zip(others, marks, strict=True):
            cells[other.name] = f"{mark.r_gap:.2f} / {mark.r_width:.2f} / {mark.lag:+d}"
        worst = {f"worst {key}": value for key, value in worst_lips(marks).items()}
        yield {"actor": film.name, **cells, **mean_lips(marks), **worst}


def features(
    bench: Bench,
    film: Filmed,
    others: Sequence[Filmed],
    cut: Cut | None,
    sets: Sequence[str] = FEATURES,
) -> Iterator[Row]:
    """Which streams help, on the actor's own voice and on unheard ones."""
    own, asked = parted(film, cut)
    for name in sets:
        pupil = teach(with_features(bench, name), own)
        row: Row = {"features": name, **_lips(pupil.ask(asked, pupil.offset_s).lips)}
        marks = [_ask_other(pupil, other) for other in others]
        if marks:
            row |= {f"unheard {key}": value for key, value in mean_lips(marks).items()}
            row["worst r gap"] = min(mark.r_gap for mark in marks)
        yield row


def lookahead(
    bench: Bench, film: Filmed, milliseconds: Sequence[float], cut: Cut | None
) -> Iterator[Row]:
    """What a live stream loses: networks that hear so far ahead and no further."""
    own, asked = parted(film, cut)
    for name, chosen in (
        ("offline", bench.with_settings(lookahead_ms=None)),
        ("offline, mel alone", with_features(bench.with_settings(lookahead_ms=None), "mel")),
        *((f"{ms:g} ms", bench.with_settings(lookahead_ms=float(ms))) for ms in milliseconds),
    ):
        pupil = teach(chosen, own)
        live = pupil.bench.config.lookahead_ms is not None
        answer = pupil.ask(asked, pupil.offset_s, live=live)
        yield {
            "look-ahead": name,
            "hears": pupil.hears,
            **_lips(answer.lips),
            "MSE, mm²": answer.errors.mse,
            "latency, ms": 1e3 * answer.late_s,
        }


def silence(
    bench: Bench, film: Filmed, recordings: Sequence[Path], settled_s: float
) -> Iterator[Row]:
    """How restless the mouth is where nobody speaks, so far from speech that it need not move."""
    pupil = teach(bench, film)
    filmed = pupil.space.expression_to_mouth(film.expression)
    rate = 1 / float(np.median(np.diff(film.seconds)))
    seconds = film.seconds + pupil.offset_s
    for name, mouth in (("filmed", filmed), ("predicted", pupil.predict(film.samples, seconds))):
        row = _restless(pupil, mouth, film.samples, seconds, film.is_trusted, settled_s)
        yield {"sound": film.name, "mouth": name, **row}
    for name, samples in (*_quiet_sounds(), *((p.name, read_sound(p).samples) for p in recordings)):
        times = np.arange(int(len(samples) / SAMPLE_RATE * rate)) / rate
        mouth = pupil.predict(samples, times)
        row = _restless(pupil, mouth, samples, times, np.ones(len(times), bool), settled_s)
        yield {"sound": name, "mouth": "predicted", **row}


def parted(film: Filmed, cut: Cut | None) -> tuple[Filmed, Filmed]:
    """What is learned from, and what is asked about."""
    if isinstance(cut, Fold):
        first_s = film.duration_s * cut.number / cut.count
        stop_s = film.duration_s * (cut.number + 1) / cut.count
        return film.without(first_s, stop_s), film.part(first_s, stop_s)
    stop, start = cut or default_cut(film)
    return film.part(0.0, stop), film.part(start, math.inf)


def default_cut(film: Filmed) -> tuple[float, float]:
    """The last fifth is asked about."""
    return 0.8 * film.duration_s, 0.8 * film.duration_s


def averaged(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """The mean of several runs of one table, row by row; of the lag's size."""
    rows: list[Row] = []
    for same in zip(*runs, strict=True):
        row = dict(same[0])
        for column, value in row.items():
            if not isinstance(value, str):
                values = [float(run[column]) for run in same]
                is_lag = column.endswith("lag, frames")
                row[column] = float(np.mean(np.abs(values) if is_lag else values))
        rows.append(row)
    return rows


def with_features(bench: Bench, name: str) -> Bench:
    """The bench that hears streams joined by +; without mel, one that never listens to it.

    Raises:
        ConfigError: a stream is unknown.
    """
    asked = name.split("+")
    streams = tuple(stream for stream in asked if stream != "mel")
    for stream in streams:
        if stream not in STREAMS:
            raise ConfigError(
                f"there are no features {stream!r}", f"Choose from mel, {', '.join(STREAMS)}."
            )
    config = bench.config
    heard = replace(config.features, streams=streams)
    if "mel" in asked:
        return bench.with_settings(features=heard)
    return bench.with_settings(
        features=heard,
        augment=replace(config.augment, drop_mel=1.0),
        kernel=replace(config.kernel, foreign=1.0),
    )


def ratios(row: Row, reference: Row | None) -> Row:
    """What a row costs and errs, as shares of the reference's."""
    if reference is None:
        return {f"{key} ×": "–" for key in _RATIOS}
    return {f"{key} ×": float(row[key]) / float(reference[key]) for key in _RATIOS}


def mean_lips(marks: Sequence[LipMarks]) -> Row:
    """The mean over voices; of the lag's size."""
    return {
        "r gap": float(np.mean([mark.r_gap for mark in marks])),
        "r width": float(np.mean([mark.r_width for mark in marks])),
        "lag, frames": float(np.mean([abs(mark.lag) for mark in marks])),
    }


def worst_lips(marks: Sequence[LipMarks]) -> Row:
    """The worst of each, not all of the same voice."""
    return {
        "r gap": min(mark.r_gap for mark in marks),
        "r width": min(mark.r_width for mark in marks),
        "lag, frames": max((mark.lag for mark in marks), key=abs),
    }


def _bench_for(bench: Bench, name: str, features: str | None) -> Bench:
    network = "ours" if name == ALONE else name
    if network not in NETWORKS:
        raise ConfigError(
            f"there is no network {name!r}", f"Choose from {', '.join([*NETWORKS, ALONE])}."
        )
    chosen = bench.with_settings(network=network)
    if name == ALONE:
        chosen = chosen.with_settings(kernel=replace(bench.config.kernel, share=0.0))
    return chosen if features is None else with_features(chosen, features)


def _cost_row(actor: str, name: str, pupil: Pupil, answer: Answer) -> Row:
    predicting, hearing = minute_ms(pupil)
    return {
        "actor": actor,
        "network": name,
        "features": pupil.hears,
        "parameters": sum(weights.numel() for weights in pupil.model.networks.parameters()),
        **_errors(answer.errors),
        **_lips(answer.lips),
        "steps": pupil.metrics["steps"],
        "ms a batch": batch_ms(pupil),
        "training, s": pupil.spent_s,
        "ms a minute": predicting,
        "ms hearing": hearing,
    }


def _ask_other(pupil: Pupil, other: Filmed) -> LipMarks:
    return pupil.ask(other, offset_of(pupil.bench, other, pupil.space)).lips


def _lips(marks: LipMarks) -> Row:
    return {"r gap": marks.r_gap, "r width": marks.r_width, "lag, frames": marks.lag}


def _errors(errors: Errors) -> Row:
    return {
        "MSE, mm²": errors.mse,
        "MAE, mm": errors.mae,
        "MSE of first differences, mm²": errors.change_mse,
    }


def _restless(
    pupil: Pupil,
    mouth: np.ndarray,
    samples: np.ndarray,
    seconds: np.ndarray,
    trusted: np.ndarray,
    settled_s: float,
) -> Row:
    """Movement in speech and in settled silence."""
    config, rate = pupil.bench.config.activity, 1 / float(np.median(np.diff(seconds)))
    speech = hear_speech(samples, config) >= config.hold
    near = binary_dilation(speech, iterations=round(settled_s * COLUMNS_PER_SECOND))
    column = np.clip((seconds * COLUMNS_PER_SECOND).round().astype(int), 0, len(speech) - 1)
    talks = movement(mouth, rate, pupil.space, trusted & speech[column])
    rests = movement(mouth, rate, pupil.space, trusted & ~near[column])
    return {
        "silent frames": int((trusted & ~near[column]).sum()),
        "in speech, mm/s": talks,
        "in silence, mm/s": rests,
        "energy, silence to speech": (rests / talks) ** 2 if talks > 0 else math.nan,
    }


def _quiet_sounds() -> Iterator[tuple[str, np.ndarray]]:
    size = 4 * SAMPLE_RATE
    yield "digital zeros", np.zeros(size, np.float32)
    noise = np.random.default_rng(0).standard_normal(size) * 10 ** (_QUIET_DB / 20)
    yield f"noise at {_QUIET_DB:g} dB", noise.astype(np.float32)
