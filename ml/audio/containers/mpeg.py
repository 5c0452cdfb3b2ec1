"""The first frame of an mp3 file: the length that it states, and whether more follows."""

import struct
from typing import NamedTuple

import mutagen.mp3

from melgraph.ml.audio.containers.part import Part

# Bytes from a frame's start to its Xing header: depends on MPEG version, channels and checksum.
_XING_OFFSETS = (13, 15, 21, 23, 36, 38)
_XING_FRAMES, _XING_BYTES = 0x01, 0x02  # flags of the numbers that follow
_LEFT_OVER = 4096  # bytes that may follow the stated end: 0.1 s at the highest mp3 bit rate
_BAD = 15  # of the bit rates
_RESERVED = 3  # of the sample rates


class _Stated(NamedTuple):
    """What a Xing header states."""

    first_frame: int  # its position
    end: int  # of the last frame; 0 if it is not stated


def states_length(part: Part) -> bool:
    """Whether the mp3 has a Xing, Info or VBRI header.

    Without one, its length can only be estimated from the bit rate.
    """
    try:
        info = mutagen.mp3.MPEGInfo(part.again())
    except mutagen.MutagenError:
        return False
    return bool(info.bitrate_mode != mutagen.mp3.BitrateMode.UNKNOWN)


def goes_on(part: Part) -> bool:
    """Whether more audio follows the end that the Xing header states.

    This happens when several mp3 files were concatenated.
    """
    stated = _stated(part)
    if stated is None or not stated.end or part.size - stated.end < _LEFT_OVER:
        return False
    behind = part.pread(4, stated.end)
    return _is_frame(behind, 0) or behind[:3] == b"ID3"


def is_whole(part: Part) -> bool:
    """Whether all bytes are there that the Xing header states, so that nothing was cut off."""
    stated = _stated(part)
    return stated is not None and 0 < stated.end <= part.size


def _stated(part: Part) -> _Stated | None:
    """What the Xing header states; None without one."""
    head = part.pread(10, 0)
    start = 0
    if len(head) == 10 and head[:3] == b"ID3":
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    first = part.pread(4096, start)
    xing = min((at for at in (first.find(b"Xing"), first.find(b"Info")) if at > 0), default=0)
    frames = [xing - offset for offset in _XING_OFFSETS if _is_frame(first, xing - offset)]
    if not frames or len(first) < xing + 16:
        return None
    flags, *values = struct.unpack(">III", first[xing + 4 : xing + 16])
    end = 0
    if flags & _XING_BYTES:
        end = start + frames[0] + (values[1] if flags & _XING_FRAMES else values[0])
    return _Stated(start + frames[0], end)


def _is_frame(data: bytes, at: int) -> bool:
    """Whether the head of an MPEG audio frame is at this position."""
    if not 0 <= at < len(data) - 2 or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return False
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    bit_rate, sample_rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate != _BAD and sample_rate != _RESERVED
