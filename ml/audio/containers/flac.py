"""A FLAC file against its header: the signature of its samples, and frames behind its end."""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

import mutagen.flac
import numpy as np

from melgraph.ml.audio.containers.part import Part, after_id3

_MARK = b"fLaC\x00\x00\x00\x22"  # the beginning of a file, with the head of its first block
_BLOCK = 1 << 20  # bytes
_TAIL = 1 << 17  # bytes at the end of a file that hold its last frame
_FRAME = re.compile(rb"\xff[\xf8\xf9]")
_LARGEST_BLOCK = 65536  # samples
_LARGEST_HEAD = 16  # bytes of a frame's head
_POLYNOMIAL = 0x07  # of the CRC-8 of a frame's head


class _Signature:
    """The MD5 of a FLAC file's samples, computed as the encoder does."""

    def __init__(self, bits_per_sample: int) -> None:
        self._scale = 2.0 ** (bits_per_sample - 1)
        self._width = -(-bits_per_sample // 8)  # bytes
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, samples: np.ndarray) -> None:
        scaled = np.rint(samples.astype(np.float64) * self._scale)
        octets = scaled.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : self._width]
        self._md5.update(octets.tobytes())

    def value(self) -> int:
        return int(self._md5.hexdigest(), 16)


def signature_fits(part: Part, decode: Callable[[], Iterable[np.ndarray]]) -> bool:
    """Whether the decoded samples have the MD5 that the encoder wrote into the header.

    Args:
        part: a FLAC file.
        decode: decodes the file piece by piece: float32 `[sample, channel]`.
    """
    try:
        header: Any = mutagen.flac.FLAC(part.again()).info  # type: ignore[no-untyped-call]
    except mutagen.MutagenError:
        return False
    signature = _Signature(header.bits_per_sample)
    for piece in decode():
        signature.add(piece)
    return bool(signature.value() == header.md5_signature)


def next_file(part: Part) -> int | None:
    """Where another FLAC file begins behind the first (both were joined); None without one."""
    position = part.size - after_id3(part).size
    if part.pread(len(_MARK), position) != _MARK:
        return None
    position += len(_MARK)
    while len(block := part.pread(_BLOCK, position)) >= len(_MARK):
        at = block.find(_MARK)
        if at >= 0:
            return position + at
        position += len(block) - len(_MARK) + 1
    return None


def goes_on(part: Part, n_samples: int) -> bool:
    """Whether frames follow the sample at which the header says that it ends.

    Looks at the end of the file only.
    """
    tail = part.pread(_TAIL, max(0, part.size - _TAIL))
    numbers = (_first_sample(tail, match.start()) for match in _FRAME.finditer(tail))
    firsts = {first for first in numbers if first is not None}
    # The bytes of a frame can look like the head of one, but hardly twice in a row.
    return any(
        first >= n_samples and any(0 < first - other < _LARGEST_BLOCK for other in firsts)
        for first in firsts
    )


def _first_sample(data: bytes, at: int) -> int | None:
    """The number of the first sample of the frame at this position; None if there is no frame."""
    head = data[at : at + _LARGEST_HEAD]
    if len(head) < _LARGEST_HEAD:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if not size_code or rate_code == 15 or head[3] & 1 or head[3] >> 4 > 10:
        return None
    number, length = _coded_number(head[4:])
    if number is None:
        return None
    end = 4 + length
    block = head[end : end + 2]
    end += {6: 1, 7: 2}.get(size_code, 0) + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if _crc8(head[:end]) != head[end]:
        return None
    if head[1] & 1:  # blocks of different sizes: the head has the sample's number
        return number
    return number * _block_size(size_code, block)


def _block_size(code: int, explicit: bytes) -> int:
    if code == 1:
        return 192
    if code == 6:
        return explicit[0] + 1
    if code == 7:
        return int.from_bytes(explicit, "big") + 1
    return 576 << (code - 2) if code < 6 else 256 << (code - 8)


def _coded_number(data: bytes) -> tuple[int | None, int]:
    """A number coded like a Unicode character, and its bytes; None if it is no such number."""
    length = 8 - (~data[0] & 0xFF).bit_length()
    if length == 0:
        return data[0], 1
    if length == 1 or length > 7:
        return None, 0
    value = data[0] & (0x7F >> length)
    for byte in data[1:length]:
        if byte >> 6 != 2:
            return None, 0
        value = value << 6 | byte & 0x3F
    return value, length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc
