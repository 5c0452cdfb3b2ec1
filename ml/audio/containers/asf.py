"""The header of an ASF (WMA) file: its length, whether it is all there, and encryption."""

import struct
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import mutagen.asf

from melgraph.ml.audio.containers.part import Part

_HEADER = UUID("75B22630-668E-11CF-A6D9-00AA0062CE6C").bytes_le
_PROPERTIES = UUID("8CABDCA1-A947-11CF-8EE4-00C00C205365").bytes_le
_ENCRYPTION = (
    UUID("2211B3FB-BD23-11D2-B4B7-00A0C955FC6E").bytes_le,
    UUID("298AE614-2622-4C17-B935-DAE07EE9289C").bytes_le,
)
_MOST_OBJECTS = 1000


def is_asf(part: Part) -> bool:
    """Whether the part begins like an ASF file."""
    return part.pread(16, 0) == _HEADER


def seconds(part: Part) -> float | None:
    """The length that the header states, seconds; None if it states none."""
    try:
        info: Any = mutagen.asf.ASF(part.again()).info  # type: ignore[no-untyped-call]
    except mutagen.MutagenError:
        return None
    return float(info.length) or None if info else None


def is_whole(part: Part) -> bool:
    """Whether the file is as large as its header states, so that nothing was cut off."""
    for name, start in _objects(part):
        if name == _PROPERTIES:
            stated: int = struct.unpack("<Q", part.pread(8, start + 16).ljust(8, b"\0"))[0]
            return 0 < stated <= part.size
    return False


def is_encrypted(part: Part) -> bool:
    """Whether the header says that the content needs a key."""
    return any(name in _ENCRYPTION for name, _ in _objects(part))


def _objects(part: Part) -> Iterator[tuple[bytes, int]]:
    """Kind and position of the content of each object in the header."""
    head = part.pread(30, 0)
    if len(head) < 30:
        return
    position, (stop,) = 30, struct.unpack("<Q", head[16:24])
    for _ in range(_MOST_OBJECTS):
        head = part.pread(24, position)
        if len(head) < 24 or position >= stop:
            return
        (size,) = struct.unpack("<Q", head[16:])
        yield head[:16], position + 24
        if size < 24:
            return
        position += size
