"""Ask whether a judge of lip sync can be believed, as markdown tables.

python tools/benchmark_sync.py JUDGE CLIP... [--from SECONDS | --last SHARE] [KEY=VALUE]...

Every clip is judged as it is, with its sound 200 ms earlier and later, with its sound shuffled in
pieces of half a second, and with one frame's lower half of the face in all frames. `at 0` is the
confidence at the real clip's own offset: the median over the shifts less the distance there. A
judge puts a clip in the right order where displaced sound is found five frames away (give or take
one), where no version fits as well as the real one at the real one's offset, and where shuffled
sound and a frozen mouth have less confidence than the others at any shift. `p` is the chance that
the clip's own sound with its embedded pieces exchanged has as much confidence as the real.
A judge that was trained on a clip should be asked about the part that it did not see.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from metatalk.config import load_config
from metatalk.errors import ConfigError, MetatalkError
from metatalk.lipsync.judge import Judge
from metatalk.lipsync.sync_config import SyncConfig
from metatalk.stages.sync import judge_watched, open_configured_judge, watch_clip
from metatalk.stages.sync_report import SyncReport


def main(argv: Sequence[str] | None = None) -> int:
    """Judge and print.

    Args:
        argv: the words after the program's name; None: those of this process.

    Returns:
        Exit code: 0; 1 where it is not to be trusted on a clip; 2 for what the user can mend.
    """
    asked = _read_words(sys.argv[1:] if argv is None else list(argv))
    settings = [word for word in asked.words if "=" in word and not Path(word).exists()]
    clips = [Path(word) for word in asked.words if word not in settings]
    try:
        if not clips:
            raise ConfigError("no clip was named", "give clips of speaking people")
        config = load_config(words=settings)
        section = replace(config.sync, judge=asked.judge)
        judge = open_configured_judge(section, config.device)
        print(f"{judge.record.title} {judge.record.file}: {judge.record.terms}\n")
        print(_row("clip", "version", *_names(judge), "offset", "at 0"))
        print(_row(*["---"] * 6))
        found = {clip.name: _judge(clip, judge, section, config.landmarks, asked) for clip in clips}
    except MetatalkError as error:
        print(error, file=sys.stderr)
        return 2
    right = _print_verdicts({name: report for name, report in found.items() if report})
    if asked.json:
        plain = {name: report.document() for name, report in found.items() if report}
        asked.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return 0 if right else 1


def _read_words(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("judge")
    parser.add_argument("words", nargs="+", metavar="CLIP|KEY=VALUE")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--from", dest="start", type=float, default=0.0, metavar="SECONDS")
    part.add_argument("--last", type=float, metavar="SHARE", help="such as 0.2: the last fifth")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked, more = parser.parse_known_args(argv)
    if any(word.startswith("-") for word in more):
        parser.error(f"unknown: {' '.join(more)}")
    asked.words += more  # words behind an option
    return asked


def _judge(
    clip: Path, judge: Judge, section: SyncConfig, landmarks: Any, asked: argparse.Namespace
) -> SyncReport | None:
    """Judge one clip and print its rows; a clip that cannot be judged is named and left out."""
    try:
        watched = watch_clip(clip, landmarks)
        start = asked.start if asked.last is None else watched.index.duration * (1 - asked.last)
        with torch.inference_mode():
            report = judge_watched(watched, judge, section, check=True, from_s=start)
    except MetatalkError as error:
        print(_row(clip.name, error.problem, "", "", "", ""), flush=True)
        return None
    for name, values in report.document()["versions"].items():
        distance, confidence = (f"{values[key]:.3f}" for key in _names(judge))
        offset, kept = f"{values['offset_frames']:+d}", f"{values['at_real_offset']:+.3f}"
        print(_row(clip.name, name, distance, confidence, offset, kept), flush=True)
    return report


def _print_verdicts(found: dict[str, SyncReport]) -> bool:
    """Print what to think of the judge; True where it can be trusted on every clip."""
    print("\n" + _row("clip", "windows", "p", "right order"))
    print(_row(*["---"] * 4))
    right = 0
    for name, report in found.items():
        ranking, telling = report.ranking, report.telling
        faults = ranking.faults if ranking else ()
        right += bool(report.is_trusted)
        p_value = f"{telling.p_value:.2f}" if telling else "too short"
        print(_row(name, str(report.figures.windows), p_value, "; ".join(faults) or "yes"))
    print(f"\nto be trusted on {right} of {len(found)} clips: right order, and p small")
    return right == len(found) > 0


def _names(judge: Judge) -> tuple[str, str]:
    return judge.distance_name, judge.confidence_name


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
