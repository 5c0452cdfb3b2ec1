"""A part of a file as a file of its own, read-only, with corrections of single bytes."""

import os
from collections.abc import Mapping
from typing import BinaryIO

_ID3_HEAD = 10  # bytes


class Part:
    """The bytes of a file from `start` to `stop`, as an open file.

    It has no name, so that FFmpeg cannot guess a format from a suffix. A broken header can make a
    decoder seek before the beginning; `seek` then returns -1 instead of raising, as the file itself
    is readable.

    Args:
        file: an open, unbuffered file. Its own position is neither used nor changed.
        start: the first byte of the part.
        stop: the byte after the last; None for the end of the file.
        corrections: position in the part -> bytes that are read there instead of those of the file.

    Attributes:
        size: number of bytes.
        descriptor: of the file, if the part is the whole file as it is; else None.
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int = 0,
        stop: int | None = None,
        corrections: Mapping[int, bytes] | None = None,
    ) -> None:
        length = os.fstat(file.fileno()).st_size
        stop = length if stop is None else min(stop, length)
        self._file, self._start = file, start
        self._corrections = dict(corrections or {})
        self._position = 0
        self.size = max(0, stop - start)
        whole = (start, stop) == (0, length) and not self._corrections
        self.descriptor = file.fileno() if whole else None

    def again(self) -> "Part":
        """The same bytes, open a second time: with a position of its own, at the beginning."""
        return self.corrected({})

    def part(self, start: int, stop: int | None = None) -> "Part":
        """A part of this part. Corrections are not kept."""
        stop = self.size if stop is None else min(stop, self.size)
        return Part(self._file, self._start + start, self._start + stop)

    def corrected(self, corrections: Mapping[int, bytes]) -> "Part":
        """The same part with other bytes at these positions."""
        stop = self._start + self.size
        return Part(self._file, self._start, stop, self._corrections | dict(corrections))

    def pread(self, count: int, position: int) -> bytes:
        """At most `count` bytes from a position; none outside of the part."""
        if not 0 <= position < self.size:
            return b""
        count = min(count, self.size - position)
        data = os.pread(self._file.fileno(), count, self._start + position)
        for at, correct in self._corrections.items():
            if position < at + len(correct) and at < position + len(data):
                changed = bytearray(data)
                for i, byte in enumerate(correct, start=at - position):
                    if 0 <= i < len(changed):
                        changed[i] = byte
                data = bytes(changed)
        return data

    def read(self, count: int = -1) -> bytes:
        """The next bytes, all that remain if `count` is negative."""
        data = self.pread(self.size if count < 0 else count, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position. A target before the beginning changes nothing and returns -1."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            return -1
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def seekable(self) -> bool:
        """True."""
        return True


def after_id3(part: Part) -> Part:
    """The part without the ID3v2 tags at its beginning."""
    start = 0
    while True:
        head = part.pread(_ID3_HEAD, start)
        if len(head) < _ID3_HEAD or head[:3] != b"ID3":
            return part.part(start) if start else part
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        has_footer = bool(head[5] & 0x10)
        start += _ID3_HEAD + length + _ID3_HEAD * has_footer
