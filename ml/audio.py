"""The first door of the pipeline: audio files to samples, samples to the mono signal we analyse.

Bad audio is data: every way in which a file can disappoint is a `BadAudio` with a stable code and a
reason, so that a run quarantines one file and goes on. (A decoder that crashes its whole process is
beyond Python's reach; callers who must survive that decode in a child process.)
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import mutagen
import numpy as np
import soxr

from ml.audio_readers import BadAudio, Take, flac_signature_fits, read

# What a scanner takes for audio; the decoder then goes by content, not by name.
_LIBSNDFILE_SUFFIXES = ".wav .wave .w64 .aif .aiff .aifc .au .snd .caf .flac .ogg .oga .opus .mp3"
_FFMPEG_SUFFIXES = ".m4a .m4b .aac .webm .mka .wma .wv"
AUDIO_SUFFIXES = frozenset(f"{_LIBSNDFILE_SUFFIXES} {_FFMPEG_SUFFIXES}".split())

_SILENCE_DBFS = -80.0
_LOUDEST = 8.0  # +18 dBFS; lossy codecs overshoot full scale a little, unscaled floats by far more
_NO_POWER_DBFS = -200.0  # what the level of digital silence is called: finite


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
        take = read(file, max_seconds=max_seconds)
        decoded = Decoded(take.samples(), take.sample_rate, take.codec, take.container)
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


def _compare_with_header(decoded: Decoded, promised: float, take: Take, file: BinaryIO) -> None:
    got = decoded.seconds
    tolerance = max(0.1, 0.01 * promised)
    said = f"the header promises {promised:.2f} s, {got:.2f} s decode"
    if abs(promised - got) <= tolerance:
        return
    is_flac = decoded.container == "FLAC"
    if got > promised or (is_flac and flac_signature_fits(file, decoded.samples)):
        take.notes.append(said)
    elif got == 0.0:
        raise BadAudio("undecodable", "; ".join([said, *take.notes]))
    else:
        code = "damaged" if take.broken_inside else "truncated"
        raise BadAudio(code, "; ".join([said, *take.notes]))


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
