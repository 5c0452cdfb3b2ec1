"""Headers of WAV, AIFF, AU, W64, RF64 and CAF that state less sound than the file holds.

A recorder that loses power leaves a data size of 0, or the one of its last update. The decoders
believe it; here the header is corrected, so that they read what is there.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from melgraph.ml.audio.containers.part import Part

_MOST_CHUNKS = 1000
_LEFT_OVER = 4096  # bytes behind the stated end that are not worth a correction: 23 ms of a CD
_TAGS = (b"ID3", b"TAG", b"APETAGEX")  # of other formats, which some programs append
_BLOCK = 1 << 20  # bytes
# Chunks that programs write behind the sound. Even one of a wrong size is no sound.
_KNOWN = frozenset(
    b"LIST|id3 |ID3 |bext|iXML|cue |smpl|inst|acid|JUNK|junk|PAD |FLLR|fact|PEAK|cart|DISP|plst|"
    b"axml|chna|afsp|_PMX|minf|elm1|regn|umid|NAME|AUTH|ANNO|COMT|MARK|INST|APPL|(c) |info|free|"
    b"uuid|strg|mark|peak".split(b"|")
)


class _Layout(NamedTuple):
    """How a container writes its chunks."""

    order: str  # of bytes, as in `struct`
    first: int  # position of the first chunk
    id_bytes: int
    size_form: str  # of the size, as in `struct`
    counts_head: bool  # whether the size includes id and size
    align: int  # bytes
    sound: bytes  # how the id of the chunk with the sound begins


class Chunk(NamedTuple):
    """A chunk of a file: its id, where its content begins, and the size that its head states."""

    name: bytes
    start: int
    size: int


_LAYOUTS = {
    b"RIFF": _Layout("<", 12, 4, "I", False, 2, b"data"),
    b"RF64": _Layout("<", 12, 4, "I", False, 2, b"data"),
    b"BW64": _Layout("<", 12, 4, "I", False, 2, b"data"),
    b"RIFX": _Layout(">", 12, 4, "I", False, 2, b"data"),
    b"FORM": _Layout(">", 12, 4, "I", False, 2, b"SSND"),
    b"riff": _Layout("<", 40, 16, "Q", True, 8, b"data"),
    b"caff": _Layout(">", 8, 4, "q", False, 1, b"data"),
}
_FORMS = (b"WAVE", b"AIFF", b"AIFC", b"wave")  # what a RIFF, FORM or riff file may hold here
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, -1)  # written where the size was not known


def chunks(part: Part) -> Iterator[Chunk]:
    """The chunks of a WAV, RF64, AIFF, W64 or CAF file, as far as their sizes can be followed.

    The last one may have a negative size.
    """
    layout = _layout(part)
    if layout is None:
        return
    position = layout.first
    for _ in range(_MOST_CHUNKS):
        chunk = _chunk_at(part, position, layout)
        if chunk is None:
            return
        yield chunk
        if chunk.size < 0:
            return
        position = _end(chunk, layout)


def with_all_sound(part: Part) -> tuple[Part, str | None]:
    """The file with a header that states all sound that is there, and a note.

    Returns:
        The part unchanged and None, unless more sound follows the stated end.
    """
    if part.pread(4, 0) == b".snd":
        return _au_with_all_sound(part)
    layout = _layout(part)
    if layout is None:
        return part, None
    sound = next((chunk for chunk in chunks(part) if chunk.name.startswith(layout.sound)), None)
    if sound is None:
        return part, None
    stated, at_ds64 = sound.size, None
    if stated == 0xFFFFFFFF and (ds64 := _chunk_named(part, b"ds64")) is not None:
        at_ds64 = ds64.start + 8
        stated = struct.unpack("<Q", part.pread(8, at_ds64).ljust(8, b"\0"))[0]
    if stated in _UNKNOWN_SIZES:
        return part, None
    stated = max(stated, 0)
    end = _end(sound._replace(size=stated), layout)
    if not _sound_follows(part, end, layout):
        return part, None
    present = part.size - sound.start
    if at_ds64 is not None:
        corrections = {at_ds64: struct.pack("<Q", present)}
    else:
        corrections = _sizes(part, sound, present, layout)
    if part.pread(4, 0) == b"FORM":
        corrections |= _aiff_frames(part, present - 8)
    return part.corrected(corrections), _note(stated, present)


def next_file(part: Part) -> int | None:
    """Where another WAV or AIFF file begins behind the first, as joined; None without one."""
    head = part.pread(12, 0)
    order = {b"RIFF": "<", b"FORM": ">"}.get(head[:4])
    if order is None or head[8:] not in _FORMS:
        return None
    end = 8 + struct.unpack(f"{order}I", head[4:8])[0]
    behind = part.pread(12, end + end % 2)
    is_another = behind[:4] == head[:4] and behind[8:] in _FORMS
    return end + end % 2 if is_another else None


def _layout(part: Part) -> _Layout | None:
    head = part.pread(40, 0)
    layout = _LAYOUTS.get(head[:4])
    if layout is None or (head[:4] != b"caff" and head[layout.first - layout.id_bytes :][:4]
                          not in _FORMS):  # fmt: skip
        return None
    return layout


def _chunk_at(part: Part, position: int, layout: _Layout) -> Chunk | None:
    size_bytes = struct.calcsize(layout.order + layout.size_form)
    head = part.pread(layout.id_bytes + size_bytes, position)
    if len(head) < layout.id_bytes + size_bytes:
        return None
    (size,) = struct.unpack(layout.order + layout.size_form, head[layout.id_bytes :])
    size -= len(head) * layout.counts_head
    return Chunk(head[: layout.id_bytes], position + len(head), size)


def _end(chunk: Chunk, layout: _Layout) -> int:
    return -(-(chunk.start + chunk.size) // layout.align) * layout.align


def _chunk_named(part: Part, name: bytes) -> Chunk | None:
    return next((chunk for chunk in chunks(part) if chunk.name == name), None)


def _sound_follows(part: Part, end: int, layout: _Layout) -> bool:
    """Whether what follows the stated end is neither chunks nor tags nor empty space."""
    if part.size - end < _LEFT_OVER or part.pread(8, end).startswith(_TAGS):
        return False
    position = end
    for _ in range(_MOST_CHUNKS):
        chunk = _chunk_at(part, position, layout)
        if chunk is None:  # chunks up to the end of the file
            return False
        if chunk.name[:4] in _KNOWN:
            return False
        printable = all(0x20 <= byte < 0x7F for byte in chunk.name[:4])
        if not printable or not 0 <= chunk.size <= part.size - chunk.start:
            break
        position = _end(chunk, layout)
    return _any_value(part, end)


def _any_value(part: Part, position: int) -> bool:
    """Whether anything but zeros follows; some recorders reserve space."""
    while block := part.pread(_BLOCK, position):
        if block.count(0) < len(block):
            return True
        position += len(block)
    return False


def _sizes(part: Part, sound: Chunk, present: int, layout: _Layout) -> dict[int, bytes]:
    """Corrections of the size of the chunk with the sound, and of the whole file."""
    size_form = layout.order + layout.size_form
    size_bytes = struct.calcsize(size_form)
    at = sound.start - size_bytes
    head_bytes = (layout.id_bytes + size_bytes) * layout.counts_head
    corrections = {at: _packed(size_form, present + head_bytes)}
    if layout.first > 8:  # CAF states no size of the whole
        whole = part.size if layout.counts_head else part.size - 8
        corrections[layout.id_bytes] = _packed(size_form, whole)
    return corrections


def _packed(form: str, value: int) -> bytes:
    largest = 256 ** struct.calcsize(form) - 1
    return struct.pack(form, min(value, largest))


def _aiff_frames(part: Part, data_bytes: int) -> dict[int, bytes]:
    """Correction of the number of samples in an AIFF file's COMM chunk."""
    common = _chunk_named(part, b"COMM")
    if common is None:
        return {}
    channels, _, bits = struct.unpack(">hIh", part.pread(8, common.start).ljust(8, b"\0"))
    frame_bytes = channels * -(-bits // 8)
    if frame_bytes <= 0:
        return {}
    return {common.start + 2: _packed(">I", data_bytes // frame_bytes)}


def _au_with_all_sound(part: Part) -> tuple[Part, str | None]:
    head = part.pread(12, 0)
    if len(head) < 12:
        return part, None
    start, stated = struct.unpack(">II", head[4:])
    if stated in _UNKNOWN_SIZES or part.size - start - stated < _LEFT_OVER:
        return part, None
    if not _any_value(part, start + stated):
        return part, None
    present = part.size - start
    return part.corrected({8: _packed(">I", present)}), _note(stated, present)


def _note(stated: int, present: int) -> str:
    return f"the header states {stated} bytes of sound, {present} are there: all are used"
