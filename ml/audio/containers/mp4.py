"""The boxes of an mp4, mov, m4a or 3gp file: whether all are there, and whether it is encrypted."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from melgraph.ml.audio.containers.part import Part

# Formats of samples that need a key: Common Encryption, FairPlay (iTunes), Audible.
_ENCRYPTED = (b"enca", b"drms", b"aavd")
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_MOST_BOXES = 100_000  # of one level: a fragmented file has two a second


class _Box(NamedTuple):
    name: bytes
    start: int  # of the content
    stop: int  # after the content; may lie behind the end of a file that was cut


def is_mp4(part: Part) -> bool:
    """Whether the part begins like an mp4 or mov file."""
    return part.pread(4, 4) in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def is_whole(part: Part) -> bool:
    """Whether the boxes end where the file ends, so that nothing was cut off."""
    end, names = 0, set()
    for box in _boxes(part, 0, part.size):
        end = box.stop
        names.add(box.name)
    return end == part.size and {b"moov", b"mdat"} <= names


def is_encrypted(part: Part) -> bool:
    """Whether the samples of a track need a key."""
    return any(_is_encrypted(part, box) for box in _boxes(part, 0, part.size))


def _is_encrypted(part: Part, box: _Box) -> bool:
    if box.name in _PARENTS:
        return any(_is_encrypted(part, inner) for inner in _boxes(part, box.start, box.stop))
    if box.name != b"stsd":
        return False
    entries = _boxes(part, box.start + 8, box.stop)  # behind version, flags and their number
    return any(entry.name in _ENCRYPTED for entry in entries)


def _boxes(part: Part, position: int, stop: int) -> Iterator[_Box]:
    for _ in range(_MOST_BOXES):
        head = part.pread(16, position)
        if position + 8 > stop or len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head[:8])
        head_bytes = 8
        if size == 1 and len(head) == 16:
            head_bytes, (size,) = 16, struct.unpack(">Q", head[8:])
        if size < head_bytes:  # 0 means: up to the end of the file, whatever that is
            return
        yield _Box(name, position + head_bytes, position + size)
        position += size
