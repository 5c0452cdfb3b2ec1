"""The digest of the sound in an audio file, without file metadata, pictures and padding.

An editor of file metadata changes the bytes of a file, but not the packets that a decoder reads.
The digest covers these packets and the parameters that a decoder needs for them. It is therefore
the same before and after an edit, and for a copy in another container that holds the same packets.
Nothing is decoded, apart from the first packets, by which FFmpeg determines the parameters.
"""

import hashlib
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av

from melgraph.ml.audio.containers import pcm
from melgraph.ml.audio.containers.part import Part, after_id3
from melgraph.ml.audio.ffmpeg import open_container
from melgraph.ml.audio.readers import joined_files
from melgraph.ml.audio.source import BadAudio

PAYLOAD_METHOD = "packets-sha256-1"
"""Names what `payload_digest` covers. If one digest changes, the number at the end must change."""

_ID3V1_BYTES, _APE_BYTES = 128, 32  # of an ID3v1 tag, and of the footer of an APEv2 tag
_APE_HAS_HEADER = 1 << 31  # a flag in the footer


def payload_digest(path: Path) -> str | None:
    """SHA-256 of the sound in a file, hexadecimal; None if the file cannot be demuxed.

    It covers the first audio stream, which is the one that `open_audio` decodes: the name of its
    codec, its sample rate in Hz, the number of its channels, the codec's setup data, and the bytes
    of all packets in their order. If several files were joined in one, it covers all of them.

    Two limits follow from this. If an editor removes the gapless information of an mp3 or m4a
    file, some thousandths of a second more are decoded, and the digest is the same. If it changes
    the gain in the header of an Opus file, the digest is another one, because the sound is.

    >>> import numpy as np, soundfile
    >>> from pathlib import Path
    >>> soundfile.write("a.wav", np.zeros(100), 8000)
    >>> soundfile.write("a.w64", np.zeros(100), 8000)
    >>> payload_digest(Path("a.wav")) == payload_digest(Path("a.w64"))
    True

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        digest = hashlib.sha256()
        try:
            n_bytes = [_add(digest, part) for part in joined_files(Part(file))]
        except (BadAudio, av.error.FFmpegError, ValueError):
            return None
        return digest.hexdigest() if all(n_bytes) else None


def _add(digest: Any, part: Part) -> int:
    """Add the sound of a file, or of one of the files that were joined in it, to the digest.

    Returns:
        The number of bytes in the packets.

    Raises:
        BadAudio, av.error.FFmpegError, ValueError: it cannot be demuxed.
    """
    part, _ = pcm.with_all_sound(part)
    n_bytes = 0
    with ExitStack() as closing:
        container = open_container(part, closing)
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise ValueError("no audio stream of a known codec")
        codec, form = stream.codec_context, container.format.name
        end = _end_of_sound(after_id3(part)) if form in ("mp3", "flac", "aac") else None
        name = codec.codec.canonical_name
        digest.update(f"{name} {codec.sample_rate} {codec.channels} ".encode())
        digest.update(_setup(name, codec.extradata or b""))
        for packet in container.demux(stream):
            data = memoryview(packet) if packet.size else memoryview(b"")
            if end is not None:
                data = data[: max(0, end - (packet.pos or 0))]
            if form == "mp3" and not _is_mp3_frame(data):
                continue  # FFmpeg passes on all that lies between and behind the frames
            n_bytes += len(data)
            digest.update(data)
    return n_bytes


def _setup(codec: str, extradata: bytes) -> bytes:
    """The setup data of a codec. That of Vorbis contains its file metadata, left out here.

    Vorbis has three headers (identification, comments, setup), each preceded by its length in the
    lacing of Xiph: the number of headers minus one, the lengths of all but the last, the headers.
    """
    if codec != "vorbis" or extradata[:1] != b"\2":
        return extradata
    lengths, position = [0, 0], 1
    for header in range(2):
        while extradata[position : position + 1] == b"\xff":
            lengths[header] += 255
            position += 1
        lengths[header] += int.from_bytes(extradata[position : position + 1])
        position += 1
    comments = position + lengths[0]
    return extradata[position:comments] + extradata[comments + lengths[1] :]


def _is_mp3_frame(data: memoryview) -> bool:
    return len(data) > 1 and data[0] == 0xFF and data[1] >= 0xE0


def _end_of_sound(part: Part) -> int:
    """The position at which APEv2 or ID3v1 file metadata begins, else the size of the file.

    mp3, FLAC and ADTS are streams of frames without a stated end, so FFmpeg can take what follows
    the last frame for a part of it.
    """
    end = part.size
    if part.pread(3, end - _ID3V1_BYTES) == b"TAG":
        end -= _ID3V1_BYTES
    footer = part.pread(_APE_BYTES, end - _APE_BYTES)
    if len(footer) == _APE_BYTES and footer.startswith(b"APETAGEX"):
        size, _, flags = struct.unpack("<III", footer[12:24])
        end -= size + (_APE_BYTES if flags & _APE_HAS_HEADER else 0)
    return end
