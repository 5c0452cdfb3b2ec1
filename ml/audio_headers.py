"""What headers and trailers of audio files say, where the decoders do not tell."""

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

_LARGEST_OGG_PAGE = 27 + 255 + 255 * 255  # bytes
_END_OF_STREAM = 0x04


def mp3_states_length(name: str) -> bool:
    """Has the mp3 a Xing, Info or VBRI header? Without one its length can only be guessed."""
    try:
        with Path(name).open("rb") as file:
            info = mutagen.mp3.MPEGInfo(file)
    except mutagen.MutagenError:
        return False
    return info.bitrate_mode != mutagen.mp3.BitrateMode.UNKNOWN


def ogg_is_cut(file: BinaryIO) -> bool:
    """Is the last page of an Ogg not marked as the end of its stream, or itself incomplete?"""
    size = os.fstat(file.fileno()).st_size
    # a stranger's tag may follow the last page; two pages hold the last whole one for certain
    start = max(0, size - 2 * _LARGEST_OGG_PAGE)
    tail = os.pread(file.fileno(), size - start, start)  # leaves the position alone
    page = tail.rfind(b"OggS\0")
    if page < 0 or page + 27 > len(tail):
        return True
    segments = tail[page + 26]
    body = sum(tail[page + 27 : page + 27 + segments])
    whole = page + 27 + segments + body <= len(tail)
    return not (whole and tail[page + 5] & _END_OF_STREAM)


def caf_seconds(file: BinaryIO) -> float | None:
    """The length that a CAF's header promises, if its packets are all alike; else None."""
    position, per_second = 8, None
    while len(head := os.pread(file.fileno(), 12, position)) == 12:
        kind, size = struct.unpack(">4sq", head)
        position += 12
        if kind == b"desc":
            description = os.pread(file.fileno(), 24, position)
            if len(description) < 24:
                return None
            rate, _, _, packet_bytes, packet_samples = struct.unpack(">d4sIII", description)
            per_second = rate * packet_bytes / packet_samples if packet_samples else None
        if kind == b"data":  # behind 4 bytes that count edits
            return (size - 4) / per_second if per_second and size > 4 else None
        if size < 0:
            return None
        position += size
    return None


def asf_seconds(file: BinaryIO) -> float | None:
    """The length that the header of an ASF (WMA) promises; None where it has none."""
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
    """The MD5 of a FLAC's samples, as its encoder makes it."""

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
    """Do the samples have the MD5 that the encoder left in the header?

    Args:
        file: an open FLAC, which is left anywhere.
        decode: gives all that decodes of it, piece by piece: float32 `[sample, channel]`.
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
