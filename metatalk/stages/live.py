"""Live: an actor says what is being spoken, a fraction of a second later."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch

from metatalk import __version__
from metatalk.a2e.activity import SpeechDetector, stands_ready
from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.hearing import reopen_ears
from metatalk.a2e.level_detector import LevelDetector
from metatalk.a2e.stream import Detector, MouthStream
from metatalk.compose.ahead import one_thread_each, read_ahead
from metatalk.compose.config import DriveConfig
from metatalk.compose.live import LatencyMeter, LiveShow, draw_frame, frame_behind
from metatalk.compose.live_mouth import LiveMouth
from metatalk.config import Config
from metatalk.errors import MediaError
from metatalk.media.audio import SoundBlock
from metatalk.media.live import (
    LiveSettings,
    LiveWriter,
    ReaderGoneError,
    choose_format,
    is_place_on_disk,
)
from metatalk.media.live_sound import RAW_RATE, AnalysisSound, SoundFeed, open_live_sound
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.planes import say_if_reduced
from metatalk.media.probe import probe_video
from metatalk.neural.matching import Looks, describe_looks
from metatalk.neural.source_follower import SourceFollower
from metatalk.render.bands import count_cores
from metatalk.stages.actor import actor_config, require_face_model, require_trained
from metatalk.stages.artefacts import load_mouth
from metatalk.stages.clip_artefacts import MEASURED_LATER
from metatalk.stages.face_model import open_face_model
from metatalk.stages.footage import Footage, open_footage
from metatalk.stages.grades import open_grades
from metatalk.stages.ingredients import require_current_consents
from metatalk.stages.keeping import Kept, keep_known
from metatalk.stages.live_order import LiveOrder
from metatalk.stages.provenance import result_entries, streamed_entry, write_result_ledger
from metatalk.stages.stage import STAGE_NAMES, Progress, ProgressFactory, silent_progress
from metatalk.stages.studio import OpenStudio, open_studio
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import require_apart, require_output

LOG = logging.getLogger(__name__)
WAITING = 6  # decoded pictures that may wait
MOST_WORKERS = 4
_ONE_READING = 100_000  # frames after which the footage is opened anew, at a turning point
_WARM_UP_S = 1.0
_IDLE = (
    "retime", "eyes.blinks", "delivery.format", "delivery.bits", "delivery.chroma", "length",
    "closure.strength",
)  # fmt: skip
_OVERDUE_S = 0.3  # that a frame waited for its turn, after all its sound had come


@dataclass(frozen=True, eq=False)
class Job:
    """A frame of the result, before it is drawn."""

    picture: Picture
    frame: int  # of the footage
    expression: np.ndarray  # (E,)
    strength: float
    source: int | None
    sound: tuple[SoundBlock, ...]  # heard since the frame before
    heard_at: float  # `time.monotonic()` at which the sound of this frame's time arrived


class Cast:
    """An actor who is ready to speak: turns mouths into jobs, one frame after another.

    Args:
        folder: the actor, trained.
        footage: the clip that is to speak.
        config: the actor's settings.
        opened: the actor before the clip's camera.
        kept: what of the clip stays as it was filmed.
    """

    def __init__(
        self,
        folder: ActorFolder,
        footage: Footage,
        config: Config,
        opened: OpenStudio,
        kept: Kept,
    ) -> None:
        self.space, self.network = load_mouth(folder.path("train_a2e"), config.a2e)
        self.ears = reopen_ears(config.a2e, self.network.fingerprint)
        self.footage, self.studio, self._transforms = footage, opened.studio, opened.transforms
        self.new_detector = _choose_detector(config.a2e.activity)
        self._filmed, self._tuning = footage.track.expression.numpy(), config.drive.mouth
        self._strength = kept.strength
        self._follower = None
        library = opened.library
        if library is not None:
            self._follower = SourceFollower(library.looks, library.blur, library.frames)
            # Looks are linear in expression: described once, they need not be for each frame.
            units = torch.eye(self._filmed.shape[1])
            rows = footage.track.take(np.zeros(len(units), np.int64))
            self._mouths = describe_looks(library.scene.model, rows.with_expression(units)).mouth
            self._poses = describe_looks(library.scene.model, footage.track).pose
        self.frames = 0

    def new_tuner(self) -> LiveMouth:
        """What makes a mouth larger, calmer or crisper; one for each run."""
        # Not held to what was seen, as in `drive`.
        rest = self.space.mouth_to_expression(self.network.rest.numpy()[None])[0]
        rate = float(self.footage.index.rate)
        return LiveMouth(rate, rest, self.space.lower_units, self._tuning)

    def to_expression(self, mouths: np.ndarray) -> np.ndarray:
        """(N, E) float32 of mouths (N, K) from `MouthStream`; only the lower units mean anything.

        As `drive` does, it holds them inside what the actor was seen to do, before they are tuned.
        """
        return self.space.mouth_to_expression(self.space.clamp(mouths))

    def next_job(
        self, spoken: np.ndarray, picture: Picture, sound: tuple[SoundBlock, ...], heard_at: float
    ) -> Job:
        """Say what the next frame is to show.

        Args:
            spoken: (E,) from `to_expression`, tuned.
            picture: the footage behind it.
            sound: what was heard since the frame before.
            heard_at: when the sound of the frame's time arrived.
        """
        frame = frame_behind(len(self.footage.index), self.frames)
        self.frames += 1
        filmed = self._filmed[frame : frame + 1]
        expression = np.where(self.space.lower_units, spoken, filmed).astype(np.float32)
        source = self._choose_source(frame, expression)
        strength = float(self._strength[frame])
        return Job(picture, frame, expression[0], strength, source, sound, heard_at)

    def draw(self, job: Job) -> Picture:
        """Draw a frame; several threads may, at once."""
        made: Picture = draw_frame(
            job.picture,
            job.frame,
            self.footage.track.take(np.array([job.frame])),
            self._transforms[job.frame],
            job.expression,
            job.strength,
            job.source,
            self.studio,
        )
        return made

    def _choose_source(self, frame: int, expression: np.ndarray) -> int | None:
        if self._follower is None:
            return None
        return self._follower.follow(
            Looks(expression @ self._mouths, self._poses[frame : frame + 1])
        )


def drive_live(
    order: LiveOrder,
    config: Config,
    stop: threading.Event,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Make an actor say what is being spoken, until it ends.

    Args:
        order: what is asked.
        config: all settings.
        stop: once it is set, the result ends with what has been heard.
        rerun: stages to compute again, of the target's.
        progress_factory: who is told how far it is.

    Returns:
        Frames, how many of them left the last picture as it was, seconds, and for a source that
        speaks as it is heard, the milliseconds from a sound's arrival to the picture of its time
        being written.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    _tell_idle(config)
    actor, target, output = order.actor, order.target, order.output
    folder, chosen = ActorFolder(actor), choose_format(output, order.container)
    is_kept = is_place_on_disk(output)
    require_current_consents([target])
    if is_kept:
        require_output(Path(output), [path for path in (target, Path(order.source)) if path])
        require_apart(Path(output), STAGE_NAMES, [actor])
    with ExitStack() as stack:
        stack.enter_context(folder.lock(shared=True))
        require_trained(folder)
        config = actor_config(folder, config)
        require_face_model(folder, config)
        model = open_face_model(config.fit.face_model, config.landmarks)
        others = rerun - MEASURED_LATER
        footage = open_footage(folder, target, config, others, progress_factory)
        grades = open_grades(folder, footage, config, model, rerun, progress_factory)
        kept = keep_known(folder, footage, config)
        opened = open_studio(folder, footage, config, model, grades, kept.standing)
        cast = Cast(folder, footage, config, opened, kept)
        stack.enter_context(one_thread_each())
        _warm_up(cast, config)
        if is_kept:
            require_output(Path(output), [footage.clip])
            stack.enter_context(disk_errors_remedied(Path(output).parent))
            # At the beginning: the result can be seen, and the run killed, from here on.
            entries = [*result_entries(actor, footage.clip), streamed_entry(order.source)]
            write_result_ledger(Path(output), entries)
        blocks = stack.enter_context(open_live_sound(order.source, stop))
        progress = stack.enter_context(progress_factory("live"))
        stage = _Stage(cast, config, SoundFeed(blocks, stop), progress)
        return {"output": output, **stage.run(output, chosen)}


def _tell_idle(config: Config) -> None:
    """Name the settings of `drive` that a show which is not known in advance cannot follow.

    Not those that only say how: an actor keeps them as they were usual when it was trained.
    """
    drive, usual = config.drive, DriveConfig()
    idle = [name for name in _IDLE if attrgetter(name)(drive) != attrgetter(name)(usual)]
    if idle:
        LOG.warning("live follows no drive.%s: they are for `drive`", ", drive.".join(idle))


class _Stage:
    """One live run, from the first sound to the last picture."""

    def __init__(self, cast: Cast, config: Config, feed: SoundFeed, progress: Progress) -> None:
        self._cast, self._config, self._feed = cast, config, feed
        self._progress = progress
        self._rate = cast.footage.index.rate
        self._stream, self._tuner = _open_stream(cast, config), cast.new_tuner()
        self._lookahead_s = self._stream.lookahead_s + self._tuner.delay / float(self._rate)
        self._sound: list[SoundBlock] = []  # heard, and not yet handed to a frame
        self._arrivals = deque([(Fraction(0), 0.0)])  # ends of blocks, seconds, and when they came
        self._latency = LatencyMeter()
        self._shown = self._held = 0

    def run(self, output: str, container: str) -> Metrics:
        """Run until the sound ends, is stopped, or nobody reads any more."""
        heard = iter(self._feed)
        first = next(heard, None)
        if first is None:
            raise MediaError("there was no sound", "send some, and see that it is sent here")
        started = time.monotonic()
        settings = self._settings(first[0])
        tags = {"comment": f"synthetic: the mouth was generated with metatalk {__version__}"}
        try:
            with LiveWriter(output, settings, container, tags) as writer:
                self._play(itertools.chain([first], heard), writer)
        except ReaderGoneError as error:
            LOG.warning("%s", error.problem)
        return self._metrics(time.monotonic() - started)

    def _play(self, heard: Iterator[tuple[SoundBlock, float]], writer: LiveWriter) -> None:
        pictures = read_ahead(_footage_for_ever(self._cast.footage), WAITING)
        analysis = AnalysisSound(RAW_RATE)
        workers = min(count_cores(), MOST_WORKERS)

        def show(picture: Picture, job: Job) -> None:
            writer.write(picture, job.sound)
            self._latency.add(time.monotonic() - job.heard_at)
            self._count()

        def hold(job: Job) -> None:
            writer.hold(job.sound)
            self._held += 1
            self._count()

        rate, feed = float(self._rate), self._feed
        drawn = LiveShow[Job, Picture](
            self._cast.draw,
            show,
            hold,
            workers,
            self._config.drive.live,
            rate,
            lambda: feed.is_live,
        )
        with drawn:
            for block, arrived in heard:
                self._sound.append(block)
                self._arrivals.append((self._arrivals[-1][0] + block.duration, arrived))
                self._put(self._say(self._stream.push(analysis.push(block))), pictures, drawn)
            self._put(self._say(self._stream.push(analysis.finish())), pictures, drawn)
            self._put(self._say(self._stream.flush()), pictures, drawn)
            self._put(self._tuner.flush(), pictures, drawn)
        writer.hear(self._sound)

    def _count(self) -> None:
        self._shown += 1
        self._progress(self._shown, None, f"{self._latency.percentile_ms(0.5):.0f} ms behind")

    def _say(self, mouths: np.ndarray) -> np.ndarray:
        """(M, E) of the frames that are decided once these mouths (N, K) are known, too."""
        return self._tuner.push(self._cast.to_expression(mouths))

    def _put(
        self, spoken: np.ndarray, pictures: Iterator[Picture], drawn: LiveShow[Job, Picture]
    ) -> None:
        """Hand over frames whose lower faces are (M, E)."""
        for expression in spoken:
            heard_at = self._arrival_of(self._cast.frames / self._rate)
            sound, self._sound = tuple(self._sound), []
            job = self._cast.next_job(expression, next(pictures), sound, heard_at)
            waited_s = time.monotonic() - heard_at - self._lookahead_s
            drawn.put(job, is_overdue=waited_s > _OVERDUE_S)

    def _arrival_of(self, second: Fraction) -> float:
        """When the sound of a moment arrived; moments are asked for in order."""
        while len(self._arrivals) > 1 and self._arrivals[0][0] <= second:
            self._arrivals.popleft()
        return self._arrivals[0][1]

    def _settings(self, block: SoundBlock) -> LiveSettings:
        info = probe_video(self._cast.footage.clip)
        say_if_reduced(info)
        return LiveSettings(
            info.width,
            info.height,
            self._rate,
            info.colour,
            self._config.drive.crf,
            self._config.drive.live.encoder_preset,
            len(block.samples),
            info.pixel_aspect,
        )

    def _metrics(self, seconds: float) -> Metrics:
        metrics: Metrics = {
            "frames": self._shown,
            "held_frames": self._held,
            "duration_s": float(self._shown / self._rate),
            "seconds": seconds,
            "fps": self._shown / max(seconds, 1e-6),
            "lookahead_ms": 1e3 * self._lookahead_s,
        }
        if self._feed.is_live:
            metrics["latency_ms_p50"] = self._latency.percentile_ms(0.5)
            metrics["latency_ms_p95"] = self._latency.percentile_ms(0.95)
        return metrics


def _open_stream(cast: Cast, config: Config) -> MouthStream:
    rate, detector = cast.footage.index.rate, cast.new_detector()
    return MouthStream(cast.network, config.a2e, rate, ears=cast.ears, detector=detector)


def _choose_detector(config: ActivityConfig) -> Callable[[], Detector]:
    is_trained = config.detector != "level" and stands_ready(config)
    return SpeechDetector if is_trained else LevelDetector


def _footage_for_ever(footage: Footage) -> Iterator[Picture]:
    """The footage's pictures, forth and back without an end."""
    length = len(footage.index)
    period = max(2 * (length - 1), 1)
    count = -(-_ONE_READING // period) * period
    frames = [frame_behind(length, number) for number in range(count)]
    while True:
        yield from read_pictures_in_order(footage.clip, frames, footage.index)


def _warm_up(cast: Cast, config: Config) -> None:
    """Do everything once before the first sound: what is done first compiles and loads."""
    stream = _open_stream(cast, config)
    stream.push(np.zeros(round(_WARM_UP_S * RAW_RATE), np.float32))
    picture = next(read_pictures_in_order(cast.footage.clip, [0], cast.footage.index))
    rest = cast.to_expression(cast.network.rest.numpy()[None])[0]
    job = cast.next_job(rest, picture, (), 0.0)
    cast.draw(Job(picture, 0, job.expression, 1.0, job.source, (), 0.0))
    cast.frames = 0
