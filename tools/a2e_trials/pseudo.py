"""What pseudo video adds: an actor taught with and without it, asked in voices never heard.

    python tools/a2e_trials/pseudo.py FIT PSEUDO VOICE... [--train-to 60] [--test-from 125]
        [--shares 0.8:0.2,0.5:0.5] [--kernels 0,0.3] [KEY=VALUE...]

FIT is the actor's fitted clip, PSEUDO the folder of its pseudo stage, the VOICEs are fitted clips
of other people, whose own mouths are the truth; none of them may be in the corpus.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from a2e_trials.footage import Filmed, read_filmed
from a2e_trials.tables import Row, mean_lips, parted, worst_lips
from a2e_trials.trial import Bench, Pupil, offset_of, teach
from metatalk.a2e.config import PseudoMixConfig
from metatalk.config import load_config
from metatalk.errors import ConfigError, MetatalkError
from metatalk.fitting.utterance import Utterance
from metatalk.stages.sentences import load_utterances


def pseudo(
    bench: Bench,
    own: Filmed,
    asked: Filmed | None,
    said: Sequence[Utterance],
    voices: Sequence[Filmed],
    mixes: Sequence[PseudoMixConfig],
) -> Iterator[Row]:
    """One row without pseudo video, then one for each way of mixing it in."""
    for mix in (None, *mixes):
        trial = bench if mix is None else bench.with_settings(pseudo=mix)
        pupil = teach(trial, own, said=() if mix is None else said)
        yield {"learned from": _name(mix), **_asked(pupil, asked, voices)}


def _asked(pupil: Pupil, asked: Filmed | None, voices: Sequence[Filmed]) -> Row:
    marks = [pupil.ask(voice, offset_of(pupil.bench, voice, pupil.space)).lips for voice in voices]
    mean, worst = mean_lips(marks), worst_lips(marks)
    row: Row = {
        "gap r": mean["r gap"],
        "worst gap r": worst["r gap"],
        "width r": mean["r width"],
        "worst width r": worst["r width"],
        "lag, frames": mean["lag, frames"],
    }
    if asked is not None:
        own = pupil.ask(asked, pupil.offset_s).lips
        row |= {"own gap r": own.r_gap, "own width r": own.r_width}
    return row | {"steps": pupil.metrics["steps"], "training, s": pupil.spent_s}


def _name(mix: PseudoMixConfig | None) -> str:
    if mix is None:
        return "own clip"
    return f"+ pseudo, {mix.begin:g} to {mix.end:g} of the windows, kernel {mix.kernel:g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        argv: the words after the program's name; None: those of this process.

    Returns:
        Exit code: 0; 2 for what the user can mend.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fit", type=Path)
    parser.add_argument("pseudo", type=Path)
    parser.add_argument("voices", nargs="+", metavar="VOICE|KEY=VALUE")
    parser.add_argument(
        "--train-to", type=float, default=None, help="second up to which is learned"
    )
    parser.add_argument("--test-from", type=float, default=None, help="second asked about from")
    parser.add_argument("--shares", default="0.8:0.2,0.5:0.5,0.8:0.8", help="begin:end of windows")
    parser.add_argument("--kernels", default="0,0.3", help="weights in the kernel regression")
    parser.add_argument("--minutes", type=float, default=None, help="of pseudo video, at most")
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "metatalk-a2e-trials")
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        for number, row in enumerate(_rows(asked)):
            if number == 0:
                print(f"| {' | '.join(row)} |\n|{' --- |' * len(row)}")
            cells = (
                v if isinstance(v, str) else f"{v:.3f}".rstrip("0").rstrip(".")
                for v in row.values()
            )
            print(f"| {' | '.join(cells)} |", flush=True)
    except MetatalkError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _rows(asked: argparse.Namespace) -> Iterator[Row]:
    settings = [word for word in asked.voices if "=" in word and not Path(word).exists()]
    bench = Bench.open(load_config(words=settings), None)
    film = read_filmed(asked.fit, asked.cache)
    voices = [read_filmed(Path(w), asked.cache) for w in asked.voices if w not in settings]
    own, held = film, None
    if asked.train_to is not None:
        start = asked.train_to if asked.test_from is None else asked.test_from
        own, held = parted(film, (asked.train_to, start))
    said = _some(list(load_utterances(asked.pseudo)), asked.minutes)
    if not said:
        raise ConfigError(f"{asked.pseudo} holds no sentence", "Run the pseudo stage first.")
    mixes = [
        PseudoMixConfig(*(float(part) for part in share.split(":")), kernel=float(kernel))
        for kernel in asked.kernels.split(",")
        for share in asked.shares.split(",")
    ]
    return pseudo(bench, own, held, said, voices, mixes)


def _some(said: list[Utterance], minutes: float | None) -> list[Utterance]:
    """The first sentences of so many minutes."""
    if minutes is None:
        return said
    ends = np.cumsum([len(one.samples) / 16_000 for one in said])
    return said[: int(np.searchsorted(ends, 60 * minutes)) + 1]


if __name__ == "__main__":
    raise SystemExit(main())
