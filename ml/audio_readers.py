"""How samples are got out of a file: by libsndfile or by FFmpeg, with what the header promised.

The readers tell what they found; `ml.audio.decode` judges whether that is the whole file.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import av
import mutagen.flac
import mutagen.mp3
import numpy as np
import soundfile as sf

# What FFmpeg may take a file for. Without it, a playlist renamed to .mp3 would open other files.
_CONTAINERS = "mov,matroska,webm,ogg,mp3,flac,wav,w64,aiff,au,caf,aac,asf,wv"
# ... and those that state their length (elsewhere FFmpeg's duration is a guess from the bit rate).
_STATE_LENGTH = frozenset({"mov", "matroska", "flac", "wav", "w64", "aiff", "au"})
_BLOCK = 1 << 22  # frames read at once: a header that lies about the length cannot claim the memory
_UNKNOWN_FRAMES = 1 << 60  # libsndfile's length of a FLAC that states none is beyond this


class BadAudio(Exception):
    """A file that cannot be used.

    Args:
        code: stable, short, kebab-case. From `decode`: vanished, unreadable, empty, undecodable,
            no-audio, truncated, damaged. From `check`: empty, undecodable, out-of-range, too-short,
            silent.
        reason: a sentence with the values.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason

    def __reduce__(self) -> tuple[type["BadAudio"], tuple[str, str]]:
        """Survive the way back from a child process."""
        return type(self), (self.code, self.reason)


@dataclass
class Take:
    """What a reader got out of a file, before it is judged."""

    blocks: list[np.ndarray]  # float32 [sample, channel]
    sample_rate: int
    channels: int
    codec: str
    container: str
    promised_s: float | None  # what the header says; None where it says nothing reliable
    notes: list[str] = field(default_factory=list)
    broken_inside: bool = False  # sound was lost and more followed: not simply cut off

    def samples(self) -> np.ndarray:
        """The blocks in one: float32 `[sample, channel]`."""
        empty = np.zeros((0, self.channels), dtype=np.float32)
        return self.blocks[0] if len(self.blocks) == 1 else np.concatenate([empty, *self.blocks])


class _NotForLibsndfile(Exception):
    """Leave it to FFmpeg; the message, if any, is worth a warning should FFmpeg succeed."""


def read(file: BinaryIO, *, max_seconds: float | None) -> Take:
    """Read a file by its content: by libsndfile if it can, else by FFmpeg.

    Args:
        file: the open file, at its beginning; its name is that of a file of these bytes.
        max_seconds: read no more than this from the start.

    Raises:
        BadAudio: undecodable or no-audio.
        OSError: reading failed.
    """
    try:
        return _read_with_libsndfile(file, max_seconds=max_seconds)
    except _NotForLibsndfile as why:
        file.seek(0)
        take = _read_with_ffmpeg(file, max_seconds=max_seconds)
        if str(why):
            take.notes.insert(0, f"libsndfile failed ({why})")
        return take


def _read_with_libsndfile(file: BinaryIO, *, max_seconds: float | None) -> Take:
    try:
        # by descriptor: no name, so no guess from a suffix, and no trouble with its encoding
        with sf.SoundFile(file.fileno(), closefd=False) as sound:
            if sound.format == "MP3" and not _mp3_states_length(file.name):
                raise _NotForLibsndfile  # which stops at its guess of the length
            if sound.frames > _UNKNOWN_FRAMES:
                raise _NotForLibsndfile  # which cannot read a FLAC from a pipe to its end
            left = sound.frames if max_seconds is None else int(max_seconds * sound.samplerate)
            blocks = []
            while left > 0:
                block = sound.read(min(left, _BLOCK), dtype="float32", always_2d=True)
                blocks.append(block)
                left = left - len(block) if len(block) == _BLOCK else 0
            if sound.format == "FLAC" and max_seconds is None and _unread(file) > _BLOCK // 64:
                raise _NotForLibsndfile  # which stops where the header says, with sound to come
            return Take(
                blocks,
                sound.samplerate,
                sound.channels,
                codec=_libsndfile_codec(sound),
                container=sound.format,
                promised_s=_libsndfile_promise(sound),
            )
    except sf.LibsndfileError as error:
        unknown = error.code == 1  # 'Format not recognised': nothing to wonder about
        raise _NotForLibsndfile("" if unknown else error.error_string.strip()) from error


def _unread(file: BinaryIO) -> int:
    """Bytes behind the place where libsndfile stopped reading."""
    return os.fstat(file.fileno()).st_size - os.lseek(file.fileno(), 0, os.SEEK_CUR)


def _libsndfile_codec(sound: sf.SoundFile) -> str:
    if sound.format == "MP3":
        return "MP3"
    return sound.subtype if sound.format == "OGG" else f"{sound.format}/{sound.subtype}"


def _libsndfile_promise(sound: sf.SoundFile) -> float | None:
    """What the header says, seconds. libsndfile corrects it to the file's size, but logs that."""
    if sound.format == "OGG":
        return None
    promised = sound.frames / sound.samplerate
    cut = re.search(
        r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", sound.extra_info, re.M
    )
    if cut and int(cut[1]) < 0x7FFF0000 and int(cut[2]) > 0:  # beyond: 'unknown', from a pipe
        promised *= int(cut[1]) / int(cut[2])
    return promised


def _mp3_states_length(name: str) -> bool:
    try:
        with Path(name).open("rb") as file:
            info = mutagen.mp3.MPEGInfo(file)
    except mutagen.MutagenError:
        return False
    return info.bitrate_mode != mutagen.mp3.BitrateMode.UNKNOWN


def _read_with_ffmpeg(file: BinaryIO, *, max_seconds: float | None) -> Take:
    try:
        container = av.open(
            file, mode="r", metadata_errors="replace", options={"format_whitelist": _CONTAINERS}
        )
    except (av.error.FFmpegError, ValueError) as error:
        reason = f"no decoder takes it for audio ({_first_line(error)})"
        raise BadAudio("undecodable", reason) from error
    with container:
        if not container.streams.audio:
            raise BadAudio("no-audio", f"{container.format.long_name}, without an audio stream")
        stream = container.streams.audio[0]
        codec = stream.codec_context
        codec.thread_count = 1
        take = Take(
            [],
            stream.sample_rate,
            codec.channels,
            codec=codec.name.removesuffix("float").upper(),
            container=container.format.name.split(",")[0].upper(),
            promised_s=_ffmpeg_promise(container, stream),
        )
        if len(container.streams.audio) > 1:
            take.notes.append(f"the first of {len(container.streams.audio)} audio streams")
        limit = np.inf if max_seconds is None else int(max_seconds * stream.sample_rate)
        _decode_packets(container, stream, take, limit=limit)
    return take


def _decode_packets(container: av.container.InputContainer, stream, take: Take, *, limit) -> None:
    """Fill `take`, stepping over packets that do not decode, as players do."""
    to_float = av.AudioResampler(format="flt")  # interleaved; rate and layout stay
    frames = damaged = 0
    start: float | None = None
    packets = container.demux(stream)
    while frames < limit:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            for decoded in packet.decode():
                if decoded.time is not None:
                    start = decoded.time if start is None else start
                    lost = decoded.time - start - frames / take.sample_rate  # seconds
                    take.broken_inside = lost > 0.05
                for frame in to_float.resample(decoded):
                    block = frame.to_ndarray().reshape(-1, take.channels)
                    take.blocks.append(block)
                    frames += len(block)
        except (av.error.FFmpegError, ValueError) as error:
            damaged += 1
            last = _first_line(error)
    if frames > limit:
        take.blocks[-1] = take.blocks[-1][: int(limit - frames)]
    if damaged:
        take.notes.append(f"{damaged} damaged packets left out (the last: {last})")
        if not frames:
            raise BadAudio("undecodable", f"none of it decodes: {last}")


def _ffmpeg_promise(container: av.container.InputContainer, stream) -> float | None:
    if container.format.name.split(",")[0] not in _STATE_LENGTH:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # else the longest stream decides
    return container.duration / 1e6 if alone and container.duration else None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]


def flac_signature_fits(file: BinaryIO, samples: np.ndarray) -> bool:
    """Do the samples have the MD5 that the encoder left in the header?

    Args:
        file: an open FLAC.
        samples: float32 `[sample, channel]`, all that decodes of it.
    """
    file.seek(0)
    try:
        header = mutagen.flac.FLAC(file).info
    except mutagen.MutagenError:
        return False
    width = -(-header.bits_per_sample // 8)  # bytes
    scaled = np.rint(samples.astype(np.float64) * 2.0 ** (header.bits_per_sample - 1))
    octets = scaled.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width]
    return int(hashlib.md5(octets.tobytes()).hexdigest(), 16) == header.md5_signature
