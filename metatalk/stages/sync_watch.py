"""A judge of lip sync beside the observer: it keeps the faces that go by, then is asked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from metatalk.errors import MediaError
from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.judge import Judge, open_judge
from metatalk.lipsync.judged_faces import cut_judged, judged_places
from metatalk.lipsync.sync_config import SyncConfig
from metatalk.lipsync.teachers import Scene
from metatalk.lipsync.tracks import RATE, frames_at_rate
from metatalk.lipsync.trusted_judge import TrustedJudge
from metatalk.media.audio import read_sound
from metatalk.precision import choose_precision
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.device import choose_device
from metatalk.stages.sync import WatchedClip, judge_watched
from metatalk.stages.sync_report import SyncReport

LOG = logging.getLogger(__name__)
ASKED = "asked"
_TRIED_S = 60.0  # of the clip, on which a judge is tried


def open_trusted_judge(
    path: Path,
    inputs: Mapping[str, Path],
    config: GateConfig,
    offset_s: float | None = None,
    device: str = "auto",
) -> tuple[TrustedJudge | None, str]:
    """Open a judge, if it knows the actor's own clip from the same clip tampered with.

    Args:
        path: the judge's weights.
        inputs: the clip and the artefacts of ingest and landmarks.
        config: by how many frames it may miss an offset.
        offset_s: how late the clip's sound was measured to come; None: nobody knows.
        device: auto, cpu or cuda.

    Returns:
        The judge, None where it is not to be trusted on this face; and what became of it, in
        words, which is logged too where it is not asked.

    Raises:
        MissingAssetError: there are no such weights, or no such device.
        ConfigError: the file holds something else.
    """
    place = choose_device(device)
    judge, sound = open_judge(path, place, choose_precision(place)), inputs["ingest"] / "sound.wav"
    why = "the clip has no sound to try it on"
    if sound.is_file():
        watched = WatchedClip(
            inputs["clip"],
            load_index(inputs["ingest"] / "frames.npz"),
            load_landmarks(inputs["landmarks"] / "landmarks.npz"),
            read_sound(sound).samples,
        )
        try:
            report = judge_watched(watched, judge, SyncConfig(), check=True, most_s=_TRIED_S)
        except MediaError as error:
            why = error.problem
        else:
            why = _doubt(report, config, offset_s)
            if not why:
                return _trust(judge, report, offset_s), ASKED
    LOG.warning("the judge %s is not asked about the teacher: %s", path.name, why)
    return None, f"not trusted: {why}"


def _trust(judge: Judge, report: SyncReport, offset_s: float | None) -> TrustedJudge:
    return TrustedJudge(judge, report.lips, report.sound, _lead_frames(offset_s or 0.0))


def _doubt(report: SyncReport, config: GateConfig, offset_s: float | None) -> str:
    """Why a judge is not believed, or ""."""
    if not report.is_trusted:
        return report.trust
    found = report.figures.offset_frames
    if offset_s is not None and abs(found - _lead_frames(offset_s)) > config.max_offset:
        measured = f"{_lead_frames(offset_s):+d} frames were measured"
        return f"it finds an offset of {found:+d} frames in the actor's own clip, where {measured}"
    return ""


def _lead_frames(offset_s: float) -> int:
    """Seconds by which sound comes late -> frames by which it leads, as judges count."""
    return -round(offset_s * RATE)


class SyncWatch:
    """Keeps one sentence's faces as the judge takes them.

    Args:
        trusted: who is asked.
        scene: the sentence.
        boxes: (N, 4) where the judge finds the face in the scene's pictures, see `judged_boxes`.
    """

    def __init__(self, trusted: TrustedJudge, scene: Scene, boxes: np.ndarray) -> None:
        self.trusted, self.scene = trusted, scene
        self.faces: list[np.ndarray] = []
        self._frames = frames_at_rate(np.arange(len(scene.order)) / float(scene.rate))
        self._places = judged_places(trusted.judge, boxes[scene.order[self._frames]])

    def look_on(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Hand (H, W, 3) pictures on, and keep their faces."""
        for number, picture in enumerate(pictures):
            for place in self._places[self._frames == number]:
                self.faces.append(cut_judged(self.trusted.judge, picture, place))
            yield picture

    def reason(self, config: GateConfig) -> str:
        """What the judge has against the sentence, or ""; of less than two seconds nothing."""
        try:
            figures = self.trusted.judge.judge(self.faces, self.scene.samples)
        except MediaError:
            return ""
        return self.trusted.objection(figures, config)
