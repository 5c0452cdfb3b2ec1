"""Ogg files for tests, page by page: PyAV leaves out the header that FLAC in Ogg and Speex need."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import av

_POLYNOMIAL = 0x04C11DB7
BEGINNING, END = 0x02, 0x04  # flags of a page


def _table() -> list[int]:
    values = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ _POLYNOMIAL if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        values.append(value)
    return values


_CRC = _table()


def _with_checksum(page: bytes) -> bytes:
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = crc << 8 & 0xFFFFFFFF ^ _CRC[crc >> 24 ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def ogg_file(
    headers: Iterable[bytes], packets: Iterable[tuple[bytes, int]], *, first: int = 0, serial: int
) -> bytes:
    """An Ogg stream: a page for each packet, which is (data, duration in samples).

    `first` is the position at which the sound begins.
    """
    pages = [(data, 0) for data in headers]
    position = first
    for data, duration in packets:
        position += duration
        pages.append((data, position))
    flags = [BEGINNING, *[0] * (len(pages) - 2), END]
    content = b""
    for number, ((data, granule), flag) in enumerate(zip(pages, flags, strict=True)):
        lacing = bytes([255] * (len(data) // 255) + [len(data) % 255])
        head = struct.pack("<4sBBqIIIB", b"OggS", 0, flag, granule, serial, number, 0, len(lacing))
        content += _with_checksum(head + lacing + data)
    return content


def flac_in_ogg(path: Path, *, first: int = 0, serial: int = 5) -> bytes:
    """The frames of a FLAC file in Ogg."""
    stream_info = path.read_bytes()[8:42]
    comment = struct.pack("<II", 0, 0)
    headers = [
        b"\x7fFLAC\x01\x00\x00\x01fLaC\x00" + struct.pack(">I", len(stream_info))[1:] + stream_info,
        b"\x84" + struct.pack(">I", len(comment))[1:] + comment,
    ]
    with av.open(str(path)) as container:
        packets = [(bytes(p), p.duration) for p in container.demux(audio=0) if p.size]
    return ogg_file(headers, packets, first=first, serial=serial)


def pages_of(content: bytes) -> Iterator[bytes]:
    """The pages of an Ogg file."""
    while content:
        segments = content[26]
        length = 27 + segments + sum(content[27 : 27 + segments])
        yield content[:length]
        content = content[length:]


def moved_on(content: bytes, samples: int) -> bytes:
    """The Ogg file with positions that begin later."""
    changed = b""
    for page in pages_of(content):
        (granule,) = struct.unpack("<q", page[6:14])
        later = struct.pack("<q", granule + samples * (granule > 0))
        changed += _with_checksum(page[:6] + later + page[14:])
    return changed
