"""The header of a CAF file: its length."""

import struct

from melgraph.ml.audio.containers.part import Part
from melgraph.ml.audio.containers.pcm import chunks


def seconds(part: Part) -> float | None:
    """The length that the header states, seconds; None if packets vary in size or duration."""
    per_second = 0.0  # bytes
    for chunk in chunks(part):
        if chunk.name == b"desc":
            description = part.pread(24, chunk.start)
            if len(description) < 24:
                break
            rate, _, _, packet_bytes, packet_samples = struct.unpack(">d4sIII", description)
            per_second = rate * packet_bytes / max(packet_samples, 1)
        if chunk.name == b"data":  # starts with a 4-byte edit count
            stated = chunk.size - 4
            return stated / per_second if per_second > 0.0 and stated > 0 else None
    return None
