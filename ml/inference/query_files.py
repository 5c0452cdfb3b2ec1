"""A recording that is asked about: the first minutes of an audio file, as plain samples.

The file may come from anybody. Decode it in a process of its own (`ml.workers.isolated_calls`):
what is written here is a plain WAV file, which every process can read safely.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from melgraph.ml.audio import Levels, Resampler, open_audio, to_mono
from melgraph.ml.audio.decoding import check_levels
from melgraph.ml.audio.payload import payload_digest

MOST_RATE = 48_000  # Hz; the representations take at most this, and it bounds the size of the file


@dataclass(frozen=True)
class QueryFile:
    """What to decode, and where to put it.

    Attributes:
        source: the audio file.
        target: the WAV file to write.
        most_s: seconds of the source that are used.
    """

    source: Path
    target: Path
    most_s: float


@dataclass(frozen=True)
class QuerySound:
    """The samples of a query file, as far as they are used.

    Attributes:
        used_s: length of the WAV file in seconds.
        length_s: length of the source in seconds, as its header states it; None if it states none.
        warning: what a person may want to know about the file; None if there is nothing.
        payload: digest of the sound in the file, see `ml.audio.payload`; None if it has none.
    """

    used_s: float
    length_s: float | None
    warning: str | None
    payload: str | None = None


def write_query_sound(file: QueryFile) -> QuerySound:
    """Decode the first minutes of a file into a mono WAV file of float32 samples.

    Its samples are those that `ml.representations.analysis.analyse` computes from the source, up to
    the sample rate `MOST_RATE`; recordings of a higher rate are resampled to it. Memory does not
    grow with the length of the file.

    >>> soundfile.write("song.wav", np.sin(np.arange(44_100)), 22_050)
    >>> write_query_sound(QueryFile(Path("song.wav"), Path("query.wav"), most_s=1.5)).used_s
    1.5

    Args:
        file: what to decode, and where to put it.

    Raises:
        BadAudio: the file cannot be used, see docs/error-codes.md.
    """
    levels, most_s = Levels(), file.most_s
    with open_audio(file.source, block_s=5.0, max_seconds=most_s) as audio:
        rate = min(audio.sample_rate, MOST_RATE)
        resampler = Resampler(audio.sample_rate, rate)
        with soundfile.SoundFile(file.target, "w", rate, 1, "FLOAT", format="WAV") as target:
            for block in audio.blocks():
                levels.add(block)
                target.write(resampler.push(to_mono(block)))
            target.write(resampler.push(np.zeros(0, np.float32), last=True))
    check_levels(levels, audio.sample_rate)
    used_s = levels.samples / audio.sample_rate
    return QuerySound(used_s, audio.promised_s, audio.warning, payload_digest(file.source))
