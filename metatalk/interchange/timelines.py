"""Timelines with markers: the whole film as one clip that bears them.

FCPXML is written here: the adapter of OpenTimelineIO counts whole frames a second only, which
29.97 has not, knows no drop-frame and no notes. It reads what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

import opentimelineio as otio

from metatalk.interchange.markers import NOTABLE, Marker, Reel, in_time
from metatalk.interchange.timecode import is_standard_rate, standard_rate

# The last version whose assets name their file themselves, which is all that OpenTimelineIO's
# adapter looks for; Final Cut Pro reads it from 10.4 on, and so does Resolve.
FCPXML_VERSION = "1.8"


def write_otio(markers: Sequence[Marker], reel: Reel) -> str:
    """Word an OpenTimelineIO timeline.

    Args:
        markers: in any order.
        reel: the film; frames are counted at its own rate, whatever that is.

    Returns:
        JSON. The clip's and the markers' times count from 00:00:00:00 of its time code.
    """
    rate, start = float(reel.rate), reel.count.start
    whole = _range(start, reel.place(reel.frames), rate)
    media = otio.schema.ExternalReference(reel.path.resolve().as_uri(), whole)
    clip = otio.schema.Clip(reel.path.name, media, whole)
    clip.markers.extend(_otio_marker(marker, reel) for marker in in_time(markers))
    timeline = otio.schema.Timeline(reel.path.stem, global_start_time=whole.start_time)
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    track.append(clip)
    timeline.tracks.append(track)
    text: str = timeline.to_json_string(indent=2)
    return text + "\n"


def write_fcpxml(markers: Sequence[Marker], reel: Reel) -> str:
    """Word a Final Cut Pro project; markers that should be looked at are to-do items.

    Args:
        markers: in any order.
        reel: the film; times are exact fractions of its own rate.

    Returns:
        XML. A marker's time is the clip's, which begins with the film's time code.
    """
    # A rate that was worked out from rounded times is none that a project may have.
    tick = 1 / (standard_rate(reel.rate) if is_standard_rate(reel.rate) else reel.rate)
    count = reel.count
    start, length = _seconds(count.start * tick), _seconds(reel.place(reel.frames) * tick)
    root = ElementTree.Element("fcpxml", version=FCPXML_VERSION)
    resources = _add(root, "resources")
    _add(resources, "format", id="r1", frameDuration=_seconds(tick), **_pixels(reel))
    sound = {"hasAudio": "1", "audioSources": "1", "audioChannels": str(reel.channels)}
    media = {"name": reel.path.name, "start": start, "duration": length}
    media_url = reel.path.resolve().as_uri()
    heard = sound if reel.channels else {}
    _add(resources, "asset", id="r2", src=media_url, format="r1", hasVideo="1", **media, **heard)
    event = _add(root, "event", name=reel.path.stem)
    project = _add(event, "project", name=reel.path.stem)
    code = "DF" if count.drop else "NDF"
    sequence = _add(project, "sequence", format="r1", duration=length, tcStart=start, tcFormat=code)
    spine = _add(sequence, "spine")
    clip = _add(spine, "asset-clip", ref="r2", offset=start, tcFormat=code, **media)
    for marker in in_time(markers):
        clip.append(_xml_marker(marker, reel, tick))
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'


def _pixels(reel: Reel) -> dict[str, str]:
    """Size and shape of the pixels, as far as they are known."""
    if not reel.width:
        return {}
    told = {"width": str(reel.width), "height": str(reel.height)}
    if reel.pixel_aspect != 1:
        told["paspH"] = str(reel.pixel_aspect.numerator)
        told["paspV"] = str(reel.pixel_aspect.denominator)
    return told


def _add(parent: ElementTree.Element, tag: str, /, **values: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, dict(values))


def _otio_marker(marker: Marker, reel: Reel) -> otio.schema.Marker:
    first = reel.place(marker.first_frame)
    marked = _range(reel.count.start + first, _length(marker, reel), float(reel.rate))
    return otio.schema.Marker(
        name=marker.kind,
        marked_range=marked,
        color=marker.colour,
        comment=marker.words,
        metadata={"metatalk": {"severity": round(marker.severity, 3)}},
    )


def _xml_marker(marker: Marker, reel: Reel, tick: Fraction) -> ElementTree.Element:
    values = {
        "start": _seconds((reel.count.start + reel.place(marker.first_frame)) * tick),
        "duration": _seconds(_length(marker, reel) * tick),
        "value": marker.line,
        "note": f"severity {marker.severity:.1f}",
    }
    if marker.severity >= NOTABLE:
        values["completed"] = "0"
    return ElementTree.Element("marker", values)


def _length(marker: Marker, reel: Reel) -> int:
    return max(reel.place(marker.end_frame) - reel.place(marker.first_frame), 1)


def _range(first: int, frames: int, rate: float) -> otio.opentime.TimeRange:
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(first, rate), otio.opentime.RationalTime(frames, rate)
    )


def _seconds(time: Fraction) -> str:
    """A time as FCPXML writes it: 1001/30000s."""
    return (
        f"{time.numerator}s" if time.denominator == 1 else f"{time.numerator}/{time.denominator}s"
    )
