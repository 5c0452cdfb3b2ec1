"""The elements of a Matroska or webm file: whether all are there, and whether it is encrypted."""

from collections.abc import Iterator
from typing import NamedTuple

from melgraph.ml.audio.containers.part import Part

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_ENCRYPTION = 0x5035
_PARENTS = (_SEGMENT, 0x1654AE6B, 0xAE, 0x6D80, 0x6240)  # ... tracks, track, encodings, encoding
_MOST_ELEMENTS = 100_000  # of one level


class _Element(NamedTuple):
    name: int
    start: int  # of the content
    stop: int | None  # after the content; None if the size is not stated


def is_matroska(part: Part) -> bool:
    """Whether the part begins like a Matroska or webm file."""
    return part.pread(4, 0) == _EBML.to_bytes(4, "big")


def is_whole(part: Part) -> bool:
    """Whether the segment states its size and is all there, so that nothing was cut off."""
    for element in _elements(part, 0, part.size):
        if element.name == _SEGMENT:
            return element.stop is not None and element.stop <= part.size
    return False


def is_encrypted(part: Part) -> bool:
    """Whether a track needs a key."""
    return any(_is_encrypted(part, element) for element in _elements(part, 0, part.size))


def _is_encrypted(part: Part, element: _Element) -> bool:
    if element.name == _ENCRYPTION:
        return True
    if element.name not in _PARENTS:
        return False
    stop = part.size if element.stop is None else element.stop
    for inner in _elements(part, element.start, stop):
        if inner.name == _CLUSTER:  # the tracks are described before the sound
            return False
        if _is_encrypted(part, inner):
            return True
    return False


def _elements(part: Part, position: int, stop: int) -> Iterator[_Element]:
    for _ in range(_MOST_ELEMENTS):
        head = part.pread(12, position)
        if position >= stop or len(head) < 2:
            return
        id_bytes = _length(head[0])
        if id_bytes > 4 or len(head) < id_bytes + 1:
            return
        size_bytes = _length(head[id_bytes])
        field = head[id_bytes : id_bytes + size_bytes]
        if len(field) < size_bytes or size_bytes > 8:
            return
        bits = 7 * size_bytes
        size = int.from_bytes(field, "big") & ((1 << bits) - 1)
        start = position + id_bytes + size_bytes
        end = None if size == (1 << bits) - 1 else start + size
        yield _Element(int.from_bytes(head[:id_bytes], "big"), start, end)
        if end is None:
            return
        position = end


def _length(first: int) -> int:
    """Bytes of a number, by its first byte: one more than the zeros in front of the first bit."""
    return 9 - first.bit_length()
