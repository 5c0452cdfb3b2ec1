"""The blocks of a WavPack file: whether all are there."""

import struct

from melgraph.ml.audio.containers.part import Part

_TAGS = (b"APETAGEX", b"TAG", b"ID3")  # may follow the last block
_MOST_BLOCKS = 1_000_000


def is_whole(part: Part) -> bool:
    """Whether the last block is complete, so that nothing was cut off."""
    position = 0
    for _ in range(_MOST_BLOCKS):
        head = part.pread(8, position)
        if not head or (position and head.startswith(_TAGS)):
            return position > 0
        if head[:4] != b"wvpk" or len(head) < 8:
            return False
        position += 8 + int(struct.unpack("<I", head[4:])[0])
        if position > part.size:
            return False
    return False
