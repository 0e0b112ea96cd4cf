"""Video in: every frame of a clip in order, and the exact time of each.

Numbers and times come from one place, `_decoded`, so that the index, the pictures and
random access can never disagree about which frame is which.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from metatalk.media.decode import AnyPath, decode_video, no_frame, open_media, video_stream
from metatalk.media.picture import Box, Picture
from metatalk.media.planes import PictureMaker
from metatalk.media.probe import VideoInfo, nominal_rate, probe_video
from metatalk.timing import FrameIndex

__all__ = ["Box", "Picture", "VideoInfo", "index_frames", "probe_video", "read_pictures"]

log = logging.getLogger(__name__)
FALLBACK_TIME_BASE = Fraction(1, 90000)  # where a container has no clock: MPEG's
_RESET_S = 1  # a step back in time by more than this is a new beginning, not a slip


def read_pictures(path: AnyPath, native: bool = False) -> Iterator[Picture]:
    """Decode a clip from its first frame to its last, holding one picture at a time.

    Args:
        path: video file of any container, codec, pixel format and display rotation.
        native: keep the depth and the sampling of chroma, which a result is to have; else
            all becomes 8-bit 4:2:0, which is enough to analyse it.

    Returns:
        Upright pictures, all of one kind; where the file is damaged or cut off, those that
        decode, and a warning that names the frame.

    Raises:
        MediaError: the file cannot be read, has no picture, or no frame of it decodes.
    """
    with open_media(path) as container:
        stream, maker = video_stream(container, path), PictureMaker(path, native)
        for number, (frame, pts) in enumerate(_decoded(container, stream, path)):
            yield maker.make(frame, number, pts)


def index_frames(path: AnyPath, progress: Callable[..., object] | None = None) -> FrameIndex:
    """Decode a clip once and note when each frame is shown.

    Args:
        path: video file.
        progress: called with the frames done and their number in all, where it is known.

    Returns:
        Exact times, as the container states them. Missing times are filled in at the
        nominal rate and times that do not increase are moved, and the log says so.

    Raises:
        MediaError: the file cannot be read, has no picture, or no frame of it decodes.
    """
    times: list[int] = []
    with open_media(path) as container:
        stream = video_stream(container, path)
        total = stream.frames or None
        for _, pts in _decoded(container, stream, path):
            times.append(pts)
            if progress is not None:
                progress(len(times), total)
        ticks = np.array(times, np.int64)
        time_base = Fraction(stream.time_base or FALLBACK_TIME_BASE)
        return FrameIndex(ticks, time_base, _plausible_rate(nominal_rate(stream), ticks, time_base))


def _decoded(
    container: InputContainer, stream: VideoStream, path: AnyPath
) -> Iterator[tuple[VideoFrame, int]]:
    """Frames of a whole clip with their repaired times, the first at 0."""
    clock = _Clock(Fraction(stream.time_base or FALLBACK_TIME_BASE), nominal_rate(stream))
    for frame in decode_video(container, stream, path):
        yield frame, clock.place(frame.pts)
    if clock.frames == 0:
        raise no_frame(path)
    if clock.repaired:
        log.warning("%s: %d of %d frame times repaired", path, clock.repaired, clock.frames)
    if clock.frames < stream.frames:
        wanted = stream.frames - _hidden_packets(path)
        if clock.frames < wanted:
            log.warning("%s: ends at frame %d of %d", path, clock.frames, wanted)


def _hidden_packets(path: AnyPath) -> int:
    """Packets that an edit list leaves out: they are in the file and never shown."""
    with open_media(path) as container, suppress(av.FFmpegError):
        packets = container.demux(video_stream(container, path))
        return sum(packet.is_discard for packet in packets if packet.size)
    return 0


class _Clock:
    """Makes the times of successive frames begin at 0 and increase."""

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        self.frames = self.repaired = 0
        self._step = max(1, round(1 / (rate * time_base)))
        self._reset = round(_RESET_S / time_base)
        self._previous = self._shift = 0

    def place(self, stated: int | None) -> int:
        """The time of the next frame, from the one its container states (None: none)."""
        self.frames += 1
        if self.frames == 1:
            self._shift = -(stated or 0)
            return 0
        pts = self._previous + self._step if stated is None else stated + self._shift
        if stated is None or pts <= self._previous:
            self.repaired += 1
        if pts <= self._previous - self._reset:
            # The clock began anew, and so do all the times that follow.
            self._shift += self._previous + self._step - pts
            pts = self._previous + self._step
        self._previous = max(pts, self._previous + 1)
        return self._previous


def _plausible_rate(nominal: Fraction, pts: np.ndarray, time_base: Fraction) -> Fraction:
    """The nominal rate, unless the times contradict it (some containers state their clock)."""
    if len(pts) < 3:
        return nominal
    measured = Fraction(len(pts) - 1) / (int(pts[-1]) * time_base)
    if Fraction(2, 3) < measured / nominal < Fraction(3, 2):
        return nominal
    return measured.limit_denominator(1001)
