"""Frames of a clip in any order, each the very picture that decoding in order gives.

A frame is decoded from the key frame before it. What is decoded on the way and wanted
soon is kept, so that a run backwards costs little more than one forwards.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from types import TracebackType
from zlib import crc32

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame

from metatalk.errors import MediaError
from metatalk.media.decode import AnyPath, decode_video, open_media, video_stream
from metatalk.media.picture import Picture
from metatalk.media.planes import PictureMaker
from metatalk.timing import FrameIndex

log = logging.getLogger(__name__)
_SEEK_TRIES = 3  # key frames that may be passed over before the clip is begun anew
_SEEK_COST = 12  # a seek is worth it where it saves decoding more frames than this
# Backwards through a long group of pictures all of it is decoded again for every so many pictures
# that are kept: few large ones would cost dozens of frames for each that is shown.
_KEPT = 32
_LEAST_BYTES, _MOST_BYTES = 128 << 20, 1 << 30


def read_pictures_in_order(
    path: AnyPath,
    frames: Sequence[int],
    index: FrameIndex,
    memory_bytes: int | None = None,
    native: bool = False,
) -> Iterator[Picture]:
    """Decode chosen frames of a clip in a chosen order, repeats allowed.

    Args:
        path: video file.
        frames: frame numbers, 0 to len(index) - 1, in the order in which they are wanted.
        index: the clip's frame index, as `index_frames` made it.
        memory_bytes: the most that decoded pictures kept for later may take, but for two; None:
            128 MiB, or as much as 32 of the clip's pictures where that is more, up to 1 GiB.
        native: keep the clip's depth and sampling of chroma, as `read_pictures` does.

    Returns:
        One picture for every entry of `frames`, with its own number and time.

    Raises:
        MediaError: a frame number outside the index, or a file that cannot be read or that
            is not the one the index was made from.
    """
    outside = [t for t in frames if not 0 <= t < len(index)]
    if outside:
        raise MediaError(f"{path}: frame {outside[0]} is outside 0..{len(index) - 1}")
    maker = PictureMaker(path, native)
    kept: dict[int, Picture] = {}
    with _Decoder(path, index) as decoder:
        first = maker.make(decoder.next_frame(), 0, 0)  # settles the size of all
        memory = _memory_for(first.nbytes) if memory_bytes is None else memory_bytes
        room = max(2, memory // first.nbytes)
        for t, wanted in _with_lookahead(frames, room):
            if t == 0:
                kept[0] = first
            elif t not in kept:
                decoder.approach(t)
            while t not in kept:
                number, frame = decoder.position, decoder.next_frame()
                if number in wanted:
                    kept[number] = maker.make(frame, number, int(index.pts[number]))
            yield kept[t]
            kept = {number: picture for number, picture in kept.items() if number in wanted}


def _memory_for(picture_bytes: int) -> int:
    return min(max(_LEAST_BYTES, _KEPT * picture_bytes), _MOST_BYTES)


def _with_lookahead(frames: Sequence[int], room: int) -> Iterator[tuple[int, Counter[int]]]:
    """Each frame number with those, at most `room` with itself, that are wanted from there on.

    The counter is the same object throughout.
    """
    wanted: Counter[int] = Counter()
    end = 0
    for t in frames:
        while end < len(frames) and (frames[end] in wanted or len(wanted) < room):
            wanted[frames[end]] += 1
            end += 1
        yield t, wanted
        wanted[t] -= 1
        if wanted[t] == 0:
            del wanted[t]


class _Decoder:
    """Decodes onwards from a position that can be moved; numbers are those of the index.

    Seeking is trusted only as far as it can be checked: every frame after a seek must carry
    the very time that the index has for it. Where one does not, and in files whose packets
    have no such times, the clip is decoded from its beginning instead.
    """

    def __init__(self, path: AnyPath, index: FrameIndex) -> None:
        self._path, self._index = path, index
        self._files = ExitStack()
        self._keys: dict[int, int] | None = None  # see _key_frames; None: not looked up yet
        self._numbers: dict[int | None, int] = {}  # frame number by the container's time
        self._start = 0  # the container's own time of frame 0
        self.position = 0  # number of the frame that comes next
        self._sought = False
        self._frames: Iterator[VideoFrame]
        self._restart()

    def __enter__(self) -> _Decoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()

    def approach(self, t: int) -> None:
        """Move to where frame `t` is soonest decoded from."""
        if self.position <= t <= self.position + _SEEK_COST:
            return
        if self._keys is None:
            self._keys = _key_frames(self._path, self._index, self._start)
            self._numbers = {self._stated_time(key): key for key in self._keys}
        key = max((key for key in self._keys if key <= t), default=0)
        if self.position <= t and key <= self.position + _SEEK_COST:
            return
        self._seek(t)

    def next_frame(self) -> VideoFrame:
        """Decode the frame at `position`, and move on by one."""
        t = self.position
        frame = next(self._frames, None)
        if self._sought and (frame is None or frame.pts != self._stated_time(t)):
            log.info("%s: seeking is not exact near frame %d; reading on without", self._path, t)
            self._keys = {}
            self._restart()
            frame = next(islice(self._frames, t, None), None)
        if frame is None:
            raise MediaError(
                f"{self._path}: ends at frame {t}, its index has {len(self._index)}",
                "it has changed since it was taken in: take it in anew with --rerun ingest, in "
                "`train` where it is the training clip, in `drive` where it is the --target",
            )
        if t == 0:
            self._start = frame.pts or 0
        self.position = t + 1
        return frame

    def _seek(self, t: int) -> None:
        """Land on the key frame before `t`, or on an earlier one, or at the beginning."""
        keys = [key for key in self._keys or {} if key <= t]
        for key in reversed(keys[-_SEEK_TRIES:]):
            self._container.seek(self._stated_time(key), stream=self._stream)
            landed = self._land(set(keys))
            if landed is not None:
                self.position, first, rest = landed
                self._frames, self._sought = chain([first], rest), True
                return
        self._restart()

    def _land(self, keys: set[int]) -> tuple[int, VideoFrame, Iterator[VideoFrame]] | None:
        """Decode from the first packet that is one of `keys`, by its time and its content."""
        landed: list[int] = []

        def begins(packet: Packet) -> bool:
            number = self._numbers.get(packet.pts)
            if number in keys and self._keys and self._keys[number] == crc32(bytes(packet)):
                landed.append(number)
            return bool(landed)

        frames = decode_video(self._container, self._stream, self._path, begins)
        for frame in frames:
            time = self._stated_time(landed[0])
            if frame.pts == time and frame.key_frame:
                return landed[0], frame, frames
            # Frames shown before the key frame but stored behind it lack what they refer to.
            if frame.pts is None or frame.pts >= time:
                return None
        return None

    def _restart(self) -> None:
        self._files.close()
        self._container = self._files.enter_context(open_media(self._path))
        self._stream = video_stream(self._container, self._path)
        self._frames = decode_video(self._container, self._stream, self._path)
        self.position, self._sought = 0, False

    def _stated_time(self, t: int) -> int:
        return self._start + int(self._index.pts[t])


def _key_frames(path: AnyPath, index: FrameIndex, start: int) -> dict[int, int]:
    """Numbers of the key frames, in order, and the checksums of their packets.

    There are none where the packets' times do not tell frames apart.
    """
    times: list[int] = []
    keys: dict[int, int] = {}
    with open_media(path) as container:
        try:
            for packet in container.demux(video_stream(container, path)):
                if packet.pts is not None:
                    times.append(packet.pts - start)
                    if packet.is_keyframe:
                        keys[times[-1]] = crc32(bytes(packet))
        except FFmpegError:
            log.debug("%s: cannot be read to its end", path)
    unique = np.unique(np.array(times, np.int64))
    if len(unique) < len(times) or not np.isin(index.pts, unique).all():
        log.info("%s: its packets do not tell frames apart; it is decoded without seeking", path)
        return {}
    return {t: keys[int(pts)] for t, pts in enumerate(index.pts) if int(pts) in keys}
