"""Read from headers and trailers of audio files what the decoders do not report."""

import hashlib
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import mutagen.asf
import mutagen.flac
import mutagen.mp3
import numpy as np

_OGG_HEAD = 27  # bytes
_LARGEST_OGG_PAGE = _OGG_HEAD + 255 + 255 * 255  # bytes
_END_OF_STREAM = 0x04
# Bytes from a frame's start to its Xing header: depends on MPEG version, channels and checksum.
_XING_OFFSETS = (13, 15, 21, 23, 36, 38)
_XING_FRAMES, _XING_BYTES = 0x01, 0x02  # flags of the numbers that follow
_MOST_CHUNKS = 1000  # chunks of a CAF file that are searched for its audio data
_LEFT_OVER = 4096  # bytes that may follow the stated end: 0.1 s at the highest mp3 bit rate


def mp3_states_length(name: str) -> bool:
    """Whether the mp3 has a Xing, Info or VBRI header.

    Without one, its length can only be estimated from the bit rate.
    """
    try:
        with Path(name).open("rb") as file:
            info = mutagen.mp3.MPEGInfo(file)
    except mutagen.MutagenError:
        return False
    return info.bitrate_mode != mutagen.mp3.BitrateMode.UNKNOWN


def mp3_goes_on(file: BinaryIO) -> bool:
    """Whether more audio follows the end that the Xing header states.

    This happens when several mp3 files were concatenated.
    """
    head = os.pread(file.fileno(), 10, 0)
    start = 0
    if len(head) == 10 and head[:3] == b"ID3":
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    first = os.pread(file.fileno(), 4096, start)
    xing = min((at for at in (first.find(b"Xing"), first.find(b"Info")) if at > 0), default=0)
    frames = [xing - offset for offset in _XING_OFFSETS if _is_frame(first, xing - offset)]
    if not frames or len(first) < xing + 16:
        return False
    flags, *values = struct.unpack(">III", first[xing + 4 : xing + 16])
    if not flags & _XING_BYTES:
        return False
    end = start + frames[0] + (values[1] if flags & _XING_FRAMES else values[0])
    if _size(file) - end < _LEFT_OVER:
        return False
    behind = os.pread(file.fileno(), 4, end)
    like_first = _is_frame(behind, 0) and behind[1] == first[frames[0] + 1]
    return like_first or behind[:3] == b"ID3"


def _is_frame(data: bytes, at: int) -> bool:
    return 0 <= at < len(data) - 1 and data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0


def ogg_is_cut(file: BinaryIO) -> bool:
    """Whether an Ogg file was cut off.

    Its last page is then incomplete, or is not marked as the end of the stream.
    """
    page = _last_page(file)
    if len(page) < _OGG_HEAD:
        return True
    segments = page[26]
    length = _OGG_HEAD + segments + sum(page[_OGG_HEAD : _OGG_HEAD + segments])
    return length > len(page) or not page[5] & _END_OF_STREAM


def ogg_is_chained(file: BinaryIO) -> bool:
    """Whether several streams follow one another in an Ogg file.

    This happens when several files were concatenated.
    """
    serials = [head[14:18] for head in (os.pread(file.fileno(), 18, 0), _last_page(file))]
    return len(serials[1]) == 4 and serials[0] != serials[1]


def _last_page(file: BinaryIO) -> bytes:
    size = _size(file)
    # Foreign metadata may follow the last page. The length of two pages certainly holds it.
    start = max(0, size - 2 * _LARGEST_OGG_PAGE)
    tail = os.pread(file.fileno(), size - start, start)  # does not move the file's position
    page = tail.rfind(b"OggS\0")
    return tail[page:] if page >= 0 else b""


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def caf_seconds(file: BinaryIO) -> float | None:
    """The length that a CAF header states, seconds; None if packets vary in size or duration."""
    position, per_second = 8, 0.0  # bytes
    for _ in range(_MOST_CHUNKS):
        head = os.pread(file.fileno(), 12, position)
        if len(head) < 12:
            break
        kind, size = struct.unpack(">4sq", head)
        position += 12
        if kind == b"desc":
            description = os.pread(file.fileno(), 24, position)
            if len(description) < 24:
                break
            rate, _, _, packet_bytes, packet_samples = struct.unpack(">d4sIII", description)
            per_second = rate * packet_bytes / max(packet_samples, 1)
        if kind == b"data":  # starts with a 4-byte edit count
            return (size - 4) / per_second if per_second > 0.0 and size > 4 else None
        if not 0 <= size < _size(file):
            break
        position += size
    return None


def asf_seconds(file: BinaryIO) -> float | None:
    """The length that the header of an ASF (WMA) file states, seconds; None if it states none."""
    position = file.tell()
    try:
        file.seek(0)
        info = mutagen.asf.ASF(file).info
        return float(info.length) or None if info else None
    except mutagen.MutagenError:
        return None
    finally:
        file.seek(position)


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


def flac_signature_fits(file: BinaryIO, decode: Callable[[], Iterable[np.ndarray]]) -> bool:
    """Whether the decoded samples have the MD5 that the encoder wrote into the header.

    Args:
        file: an open FLAC file. Its position afterwards is not defined.
        decode: decodes the file piece by piece: float32 `[sample, channel]`.
    """
    file.seek(0)
    try:
        header = mutagen.flac.FLAC(file).info
    except mutagen.MutagenError:
        return False
    signature = _Signature(header.bits_per_sample)
    for piece in decode():
        signature.add(piece)
    return signature.value() == header.md5_signature
