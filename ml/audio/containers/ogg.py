"""The pages of an Ogg file: streams one after another, missing pages, the mark of the end."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from melgraph.ml.audio.containers.part import Part

_HEAD = 27  # bytes
_MAGIC = b"OggS\0"
_CONTINUED, _BEGINNING, _END = 0x01, 0x02, 0x04  # flags of a page
_SEARCHED = 1 << 16  # bytes read at once to find the next page behind damage


@dataclass(frozen=True)
class Page:
    """The head of a page.

    Attributes:
        start: position of its first byte.
        stop: position after its last byte; may lie behind the end of a file that was cut.
        flags: continued, beginning or end of a stream.
        granule: its position in the stream, in units of the codec; -1 if no packet ends in it.
        serial: number of its stream.
        sequence: number of the page in its stream.
    """

    start: int
    stop: int
    flags: int
    granule: int
    serial: int
    sequence: int


@dataclass(frozen=True)
class Link:
    """One of the streams that follow one another in an Ogg file.

    Attributes:
        part: its pages.
        first_granule: position of the first page of sound; 0 if there is no sound. It is large if
            a recorder joined a stream that was running.
        hole: whether pages are missing between its first and its last page of sound.
        ends: whether its last page is complete and marked as the end.
    """

    part: Part
    first_granule: int
    hole: bool
    ends: bool


def is_ogg(part: Part) -> bool:
    """Whether the part begins with an Ogg page."""
    return part.pread(len(_MAGIC), 0) == _MAGIC


def holds_flac_or_speex(part: Part) -> bool:
    """Whether the first stream is FLAC or Speex, which libsndfile does not read in Ogg."""
    head = part.pread(_HEAD + 255 + 8, 0)
    if len(head) < _HEAD or not head.startswith(_MAGIC):
        return False
    return head[_HEAD + head[26] :].startswith((b"\x7fFLAC", b"Speex   "))


def links(part: Part) -> list[Link]:
    """The streams that follow one another, for example files that were concatenated.

    Streams that run side by side, as sound and picture of a film, are one link. Reads the head of
    every page.
    """
    groups: list[list[Page]] = []
    only_beginnings = False
    for page in _pages(part):
        begins = bool(page.flags & _BEGINNING)
        if not groups or (begins and not only_beginnings):
            groups.append([])
        only_beginnings = begins
        groups[-1].append(page)
    stops = [*(group[0].start for group in groups), part.size][1:]
    return [
        Link(
            part.part(group[0].start, stop),
            next((page.granule for page in group if page.granule > 0), 0),
            _has_hole(group),
            _ends(group, stop),
        )
        for group, stop in zip(groups, stops, strict=True)
    ]


def _pages(part: Part) -> Iterator[Page]:
    position = 0
    while True:
        head = part.pread(_HEAD + 255, position)
        if len(head) < _HEAD:
            return
        if head[: len(_MAGIC)] != _MAGIC:
            next_start = _next_page(part, position + 1)
            if next_start is None:
                return
            position = next_start
            continue
        flags, granule, serial, sequence = struct.unpack("<BqII", head[5:22])
        segments = head[26]
        length = _HEAD + segments + sum(head[_HEAD : _HEAD + segments])
        yield Page(position, position + length, flags, granule, serial, sequence)
        position += length


def _next_page(part: Part, position: int) -> int | None:
    while data := part.pread(_SEARCHED, position):
        at = data.find(_MAGIC)
        if at >= 0:
            return position + at
        if len(data) <= len(_MAGIC):
            return None
        position += len(data) - len(_MAGIC) + 1
    return None


def _has_hole(pages: list[Page]) -> bool:
    """Whether a number is missing between two pages of sound of a stream.

    A recorder that joined a running stream has the pages of the header, and then those from the
    middle on; that is no hole.
    """
    last: dict[int, Page] = {}
    for page in pages:
        before = last.get(page.serial)
        last[page.serial] = page
        if before is None or before.granule == 0:
            continue
        if page.sequence != (before.sequence + 1) & 0xFFFFFFFF:
            return True
    return False


def _ends(pages: list[Page], stop: int) -> bool:
    last = pages[-1]
    return last.stop <= stop and bool(last.flags & _END)
