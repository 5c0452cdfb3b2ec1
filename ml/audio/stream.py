"""An audio file as it streams by, and the verdict whether it was whole.

Every way in which a file can disappoint is a `BadAudio` with a stable code and a reason, so that a
run quarantines one file and goes on. (A decoder that crashes its whole process is beyond Python's
reach; callers who must survive that decode in a child process.)
"""

import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from melgraph.ml.audio.errors import BadAudio
from melgraph.ml.audio.headers import flac_signature_fits, ogg_is_cut
from melgraph.ml.audio.readers import open_source
from melgraph.ml.audio.signal import Recutter
from melgraph.ml.audio.source import Source

_MOST_VALUES = 1 << 24  # of a block: 64 MB, whatever rate and channels a header claims
_TOLERANCE = 0.01  # of the promised length may lack without a word
_TOLERANCE_S = 0.1  # ... or this, if it is more
_MISSING_END = 0.1  # of the promised length may lack at the end, with a warning


class AudioStream:
    """An open audio file. Made by `open_audio`.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        codec: 'FLAC/PCM_16', 'MP3', 'AAC'.
        container: 'FLAC', 'WAV', 'MOV'.
        samples_read: samples per channel decoded so far.
        warning: after the end: the file is accepted, but a person may want to know.
    """

    def __init__(
        self,
        file: BinaryIO,
        source: Source,
        *,
        block_s: float,
        max_seconds: float | None,
        max_hours: float,
    ) -> None:
        self.sample_rate, self.channels = source.sample_rate, source.channels
        self.codec, self.container = source.codec, source.container
        self.samples_read = 0
        self.warning: str | None = None
        self._file, self._source = file, source
        self._block_size = max(
            1, min(int(block_s * self.sample_rate), _MOST_VALUES // self.channels)
        )
        self._asked = None if max_seconds is None else int(max_seconds * self.sample_rate)
        self._max_hours, self._begun = max_hours, False
        if max_seconds is None and (self.promised_s or 0.0) > max_hours * 3600:
            raise self._too_long(f"the header promises {(self.promised_s or 0.0) / 3600:.2f} h")

    @property
    def promised_s(self) -> float | None:
        """The length that header or time stamps state, seconds; None where they do not."""
        return self._source.promised_s

    @property
    def seconds_read(self) -> float:
        """`samples_read` in seconds."""
        return self.samples_read / self.sample_rate

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound: contiguous float32 `[sample, channel]`, full scale 1.0, once.

        All blocks but the last are of one size: `block_s` seconds, or 64 MB if that is less.
        Integer formats lie within [-1, 1]; a lossy codec overshoots that slightly.

        Raises:
            BadAudio: unreadable, undecodable, truncated, damaged or too-long; possibly only after
                the last block, and then what was given out is not to be used.
        """
        recutter = Recutter(self._block_size)
        for piece in self.pieces():
            yield from recutter.push(piece)
        yield from recutter.rest()

    def pieces(self) -> Iterator[np.ndarray]:
        """As `blocks`, in whatever sizes they are decoded in: no copies."""
        if self._begun:
            raise ValueError("a stream is read once; open the file again")
        self._begun = True
        try:
            yield from self._limited()
            if self._asked is None or self.samples_read < self._asked:
                self._judge()
        except OSError as error:
            raise _unreadable(error) from error
        self.warning = "; ".join(self._source.notes) or None

    def _limited(self) -> Iterator[np.ndarray]:
        limit = self._max_hours * 3600 * self.sample_rate
        while self._asked is None or self.samples_read < self._asked:
            piece = next(self._source.pieces, None)
            if piece is None:
                return
            if self._asked is not None:
                piece = piece[: self._asked - self.samples_read]
            self.samples_read += len(piece)
            if self.samples_read > limit:
                raise self._too_long(f"{self.seconds_read / 3600:.2f} h decode, and more follows")
            yield piece

    def _too_long(self, what: str) -> BadAudio:
        return BadAudio("too-long", f"{what}, at most {self._max_hours:g} h are taken")

    def _judge(self) -> None:
        """The end is reached: is this all of it?"""
        notes = self._source.notes
        if self.container == "OGG" and ogg_is_cut(self._file):
            notes.append("no page marks the end of the Ogg stream: cut off?")
        if self.promised_s is None:
            return
        got, promised = self.seconds_read, self.promised_s
        missing = promised - got
        if abs(missing) <= max(_TOLERANCE_S, _TOLERANCE * promised):
            return
        said = f"the file promises {promised:.2f} s, {got:.2f} s decode"
        if missing < 0 or (self.container == "FLAC" and _signature_fits(self._file)):
            notes.append(said)
        elif got == 0.0:
            raise BadAudio("undecodable", "; ".join([said, *notes]))
        elif self._source.hole:
            raise BadAudio("damaged", "; ".join([said, *notes]))
        elif missing <= _MISSING_END * promised:
            notes.append(f"the end is missing: {said}")
        else:
            raise BadAudio("truncated", "; ".join([said, *notes]))


@contextmanager
def open_audio(
    path: Path,
    *,
    block_s: float = 60.0,
    max_seconds: float | None = None,
    max_hours: float = 24.0,
) -> Iterator[AudioStream]:
    """Open a file by its content, whatever its name: by libsndfile if it can, else by FFmpeg.

    A file is whole when what decodes is at most 1 % or 0.1 s (whichever is more) shorter than its
    header says; with up to 10 % of its end missing it is accepted with a warning. FLAC, mp4,
    Matroska, WAV, W64, RF64, AIFF, AU, CAF, WavPack, WMA, and mp3 with a Xing, Info or VBRI header
    say something. A cut Ogg lacks its last page and gets a warning; a hole in it is seen. Raw AAC
    (ADTS) and mp3 without such a header say nothing: a cut there cannot be seen. A FLAC whose
    header is wrong but whose MD5 signature fits the samples is whole.

    Memory is bounded by the size of a block, whatever the length of the file.

    Args:
        path: the file; of several audio streams the first is taken.
        block_s: length of a block, seconds.
        max_seconds: decode no more than this from the start.
        max_hours: a longer file is refused, unless `max_seconds` limits what is decoded.

    Raises:
        BadAudio: vanished, unreadable, empty, undecodable, no-audio or too-long.
        ValueError: `block_s` is not positive.
    """
    if not block_s > 0:
        raise ValueError(f"block_s is {block_s}, must be positive")
    with ExitStack() as closing:
        try:  # not around the caller's work, whose own OSError is none of ours
            file = closing.enter_context(_open(path))
            source = open_source(file, closing.enter_context(ExitStack()))
        except OSError as error:
            raise _unreadable(error) from error
        yield AudioStream(
            file, source, block_s=block_s, max_seconds=max_seconds, max_hours=max_hours
        )


def _open(path: Path) -> BinaryIO:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise BadAudio("unreadable", "this is not a regular file")
    if status.st_size == 0:
        raise BadAudio("empty", "the file has 0 bytes")
    return path.open("rb", buffering=0)  # libsndfile moves the position below any buffer


def _unreadable(error: OSError) -> BadAudio:
    if isinstance(error, FileNotFoundError):
        return BadAudio("vanished", "the file is no longer there")
    return BadAudio("unreadable", f"reading failed: {error.strerror or error}")


def _signature_fits(file: BinaryIO) -> bool:
    with ExitStack() as closing:
        return flac_signature_fits(file, lambda: open_source(file, closing).pieces)
