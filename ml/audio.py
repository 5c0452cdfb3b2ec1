"""The first door of the pipeline: audio files to samples, samples to the mono signal we analyse.

Bad audio is data: every way in which a file can disappoint is a `BadAudio` with a stable code and a
reason, so that a run quarantines one file and goes on. (A decoder that crashes its whole process is
beyond Python's reach; callers who must survive that decode in a child process.)
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import av
import mutagen.flac
import mutagen.mp3
import numpy as np
import soundfile as sf
import soxr

# What a scanner takes for audio; the decoder then goes by content, not by name.
_LIBSNDFILE_SUFFIXES = ".wav .wave .w64 .aif .aiff .aifc .au .snd .caf .flac .ogg .oga .opus .mp3"
_FFMPEG_SUFFIXES = ".m4a .m4b .aac .webm .mka .wma .wv"
AUDIO_SUFFIXES = frozenset(f"{_LIBSNDFILE_SUFFIXES} {_FFMPEG_SUFFIXES}".split())

# What FFmpeg may take a file for. Without it, a playlist renamed to .mp3 would open other files.
_CONTAINERS = "mov,matroska,webm,ogg,mp3,flac,wav,w64,aiff,au,caf,aac,asf,wv"
# ... and those that state their length (elsewhere FFmpeg's duration is a guess from the bit rate).
_STATE_LENGTH = frozenset({"mov", "matroska", "flac", "wav", "w64", "aiff", "au"})
_BLOCK = 1 << 22  # frames read at once: a header that lies about the length cannot claim the memory
_UNKNOWN_FRAMES = 1 << 60  # libsndfile's length of a FLAC that states none is beyond this
_SILENCE_DBFS = -80.0
_LOUDEST = 8.0  # +18 dBFS; lossy codecs overshoot full scale a little, unscaled floats by far more
_NO_POWER_DBFS = -200.0  # what the level of digital silence is called: finite


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


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    `samples` is float32 `[sample, channel]`, full scale 1.0: within [-1, 1] for integer formats,
    slightly beyond where a lossy codec overshoots.
    """

    samples: np.ndarray
    sample_rate: int  # Hz
    codec: str  # 'FLAC/PCM_16', 'MP3', 'AAC'
    container: str  # 'FLAC', 'WAV', 'MOV'
    warning: str | None = None  # accepted, but a person may want to know

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate


@dataclass
class _Take:
    """What a reader got out of a file, before it is judged."""

    blocks: list[np.ndarray]  # float32 [sample, channel]
    sample_rate: int
    channels: int
    codec: str
    container: str
    promised_s: float | None  # what the header says; None where it says nothing reliable
    notes: list[str] = field(default_factory=list)
    broken_inside: bool = False  # sound was lost and more followed: not simply cut off

    def decoded(self) -> Decoded:
        empty = np.zeros((0, self.channels), dtype=np.float32)
        samples = self.blocks[0] if len(self.blocks) == 1 else np.concatenate([empty, *self.blocks])
        return Decoded(samples, self.sample_rate, self.codec, self.container)


class _NotForLibsndfile(Exception):
    """Leave it to FFmpeg; the message, if any, is worth a warning should FFmpeg succeed."""


def decode(path: Path, *, max_seconds: float | None = None) -> Decoded:
    """Decode a file, by its content whatever its name: by libsndfile if it can, else by FFmpeg.

    A file is complete when what decodes is at most 1 % or 0.1 s (whichever is more) shorter than
    its header says. FLAC, mp4, Matroska, WAV, W64, AIFF, AU, and mp3 with a Xing, Info or VBRI
    header say something; Ogg, ADTS and mp3 without such a header do not: a cut there cannot be
    seen. A FLAC whose header is wrong but whose MD5 signature fits the samples is complete.

    Args:
        path: the file; of several audio streams the first is taken.
        max_seconds: decode no more than this from the start.

    Raises:
        BadAudio: vanished, unreadable, empty, undecodable, no-audio, truncated or damaged.
    """
    with _opened(path) as file:
        try:
            take = _read_with_libsndfile(file, max_seconds=max_seconds)
        except _NotForLibsndfile as why:
            file.seek(0)
            take = _read_with_ffmpeg(file, max_seconds=max_seconds)
            if str(why):
                take.notes.insert(0, f"libsndfile failed ({why})")
        decoded = take.decoded()
        if take.promised_s is not None:
            asked = np.inf if max_seconds is None else max_seconds
            _compare_with_header(decoded, min(take.promised_s, asked), take, file)
    return replace(decoded, warning="; ".join(take.notes) or None)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BadAudio("unreadable", "this is not a regular file")
        if status.st_size == 0:
            raise BadAudio("empty", "the file has 0 bytes")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BadAudio("vanished", "the file is no longer there") from None
    except OSError as error:
        raise BadAudio("unreadable", f"reading failed: {error.strerror or error}") from error


def _compare_with_header(decoded: Decoded, promised: float, take: _Take, file: BinaryIO) -> None:
    got = decoded.seconds
    tolerance = max(0.1, 0.01 * promised)
    said = f"the header promises {promised:.2f} s, {got:.2f} s decode"
    if abs(promised - got) <= tolerance:
        return
    if got > promised or (decoded.container == "FLAC" and _flac_signature_fits(file, decoded)):
        take.notes.append(said)
    elif got == 0.0:
        raise BadAudio("undecodable", "; ".join([said, *take.notes]))
    else:
        code = "damaged" if take.broken_inside else "truncated"
        raise BadAudio(code, "; ".join([said, *take.notes]))


def _read_with_libsndfile(file: BinaryIO, *, max_seconds: float | None) -> _Take:
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
            return _Take(
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


def _read_with_ffmpeg(file: BinaryIO, *, max_seconds: float | None) -> _Take:
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
        take = _Take(
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


def _decode_packets(container: av.container.InputContainer, stream, take: _Take, *, limit) -> None:
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


def _flac_signature_fits(file: BinaryIO, decoded: Decoded) -> bool:
    """Do the samples have the MD5 that the encoder left in the header?"""
    file.seek(0)
    try:
        header = mutagen.flac.FLAC(file).info
    except mutagen.MutagenError:
        return False
    width = -(-header.bits_per_sample // 8)  # bytes
    scaled = np.rint(decoded.samples.astype(np.float64) * 2.0 ** (header.bits_per_sample - 1))
    octets = scaled.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width]
    return int(hashlib.md5(octets.tobytes()).hexdigest(), 16) == header.md5_signature


def check(decoded: Decoded, *, min_seconds: float = 0.5) -> None:
    """Is there anything worth analysing?

    Raises:
        BadAudio: empty (no samples), undecodable (NaN or infinity), out-of-range (peak above
            +18 dBFS: floats that were never scaled), too-short (below `min_seconds`), silent (peak
            below -80 dBFS).
    """
    if not decoded.samples.size:
        raise BadAudio("empty", f"{decoded.container} with 0 samples")
    peak = max(float(decoded.samples.max()), -float(decoded.samples.min()))  # NaN comes through
    if not np.isfinite(peak):
        bad = int(np.count_nonzero(~np.isfinite(decoded.samples)))
        raise BadAudio("undecodable", f"{bad} of {decoded.samples.size} samples are not numbers")
    if peak > _LOUDEST:
        raise BadAudio("out-of-range", f"the peak is {peak:.6g}, full scale is 1: not scaled?")
    if decoded.seconds < min_seconds:
        raise BadAudio("too-short", f"{decoded.seconds:.3f} s, at least {min_seconds:g} s needed")
    peak_dbfs, _ = levels(decoded.samples)
    if peak_dbfs < _SILENCE_DBFS:
        raise BadAudio("silent", f"the peak is {peak_dbfs:.1f} dBFS, below {_SILENCE_DBFS:g} dBFS")


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Mean of the channels: float32 `[sample, channel]` -> contiguous float32 `[sample]`.

    Channel by channel: ten times as fast as `mean(axis=1)` over two interleaved channels.
    """
    share = np.float32(1.0 / samples.shape[1])
    mono = samples[:, 0] * share
    for channel in range(1, samples.shape[1]):
        mono += samples[:, channel] * share
    return mono


def resample(mono: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sample rate, in Hz (soxr HQ, band-limited): float32 `[sample]` -> the same."""
    if source_rate == target_rate:
        return mono
    return soxr.resample(mono, source_rate, target_rate, quality="HQ")


def levels(samples: np.ndarray) -> tuple[float, float]:
    """Peak and RMS level over all channels, dB re full scale 1.0 (-200 for digital silence)."""
    if not samples.size:
        return _NO_POWER_DBFS, _NO_POWER_DBFS
    peak = max(float(samples.max()), -float(samples.min()))
    # float64 sums of short runs: exact enough for hours, without a float64 copy
    flat = samples.reshape(-1)
    power = sum(float(np.dot(run, run)) for run in np.split(flat, range(65536, flat.size, 65536)))
    rms = np.sqrt(power / flat.size)
    peak_dbfs, rms_dbfs = (
        float(20.0 * np.log10(max(level, 10.0 ** (_NO_POWER_DBFS / 20)))) for level in (peak, rms)
    )
    return peak_dbfs, rms_dbfs


_TAGS = {  # our name -> mutagen's easy name, and the ID3 frame (WAV and AIFF lack easy names)
    "artist": ("artist", "TPE1"),
    "title": ("title", "TIT2"),
    "album": ("album", "TALB"),
    "genre": ("genre", "TCON"),
}


def read_tags(path: Path) -> dict[str, str | None]:
    """artist, title, album and genre: the first value of each, None where there is none.

    Tags are a courtesy of the file: broken ones count as none.
    """
    try:
        tags = mutagen.File(path, easy=True) if path.is_file() else None
    except Exception:  # mutagen promises MutagenError; hostile files have found others
        tags = None
    return {name: _first_value(tags, keys) for name, keys in _TAGS.items()}


def _first_value(tags: mutagen.FileType | None, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        try:
            value = str(tags[key][0]).strip("\0 \t\r\n")  # type: ignore[index]
        except (KeyError, IndexError, TypeError, ValueError):
            continue
        if value:
            return value
    return None
