"""Query files that clients send: decoded in worker processes, removed on every way out.

A decoder is a C library that reads a file of a stranger. If it crashes or hangs, only the request
that sent the file ends with an error.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from melgraph.assets.service.problems import busy, refusal_of_audio
from melgraph.ml.audio import BadAudio
from melgraph.ml.inference.query_files import QueryFile, QuerySound, write_query_sound
from melgraph.ml.workers import IsolatedFunction, NoWorker

_PRELOAD = ("melgraph.ml.inference.query_files",)
_DIGITS = 32  # of a track id, which is the beginning of a digest
Decode = Callable[[QueryFile], QuerySound]


@dataclass(frozen=True)
class DecodedUpload:
    """A query file, decoded.

    Attributes:
        path: of a WAV file, which exists as long as the request.
        caution: what the answer should say about the file; None if there is nothing.
        track_id: that a track with exactly this sound has; None if the sound has no digest.
    """

    path: Path
    caution: str | None
    track_id: str | None = None


class Uploads:
    """Decodes query files, each in a worker process.

    Args:
        workers: number of processes; each starts when it is needed.
        most_s: seconds of a file that are used.
        time_limit_s: seconds after which a decoder is stopped.
        decode: the function of the worker processes.
    """

    def __init__(
        self,
        *,
        workers: int,
        most_s: float,
        time_limit_s: float,
        decode: Decode = write_query_sound,
    ) -> None:
        self.most_s = most_s
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._decoder = IsolatedFunction(
            decode, workers=workers, time_limit_s=time_limit_s, preload=_PRELOAD
        )

    @contextmanager
    def decode(self, upload: BinaryIO) -> Iterator[DecodedUpload]:
        """The first minutes of a file, for the time of a `with` block.

        Raises:
            Refusal: the file cannot be used (415 or 422), or there is no process for it (503).
        """
        with tempfile.TemporaryDirectory(dir=self._open_folder()) as folder:
            source = Path(folder, "upload")
            with source.open("wb") as file:
                shutil.copyfileobj(upload, file)
            target = Path(folder, "query.wav")
            try:
                sound = self._decode_in_process(QueryFile(source, target, self.most_s))
            except BadAudio as error:
                raise refusal_of_audio(error) from None
            source.unlink()
            track_id = None if sound.payload is None else sound.payload[:_DIGITS]
            yield DecodedUpload(target, _caution(sound, self.most_s), track_id)

    def _decode_in_process(self, file: QueryFile) -> QuerySound:
        try:
            outcome = self._decoder(file)
        except NoWorker as error:
            raise busy("no process to decode the file could be started") from error
        if outcome.value is None:
            code = "hung" if outcome.hung else "crashed"
            raise BadAudio(code, f"the decoder of the file: {outcome.lost}")
        return outcome.value

    def _open_folder(self) -> Path:
        """The folder of all temporary files; it is removed when the service ends."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="melgraph-serve-"))
            return self._folder

    def close(self) -> None:
        """End the processes, and remove all temporary files."""
        self._decoder.close()
        with self._lock:
            folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _caution(sound: QuerySound, most_s: float) -> str | None:
    """What an answer says about its query file."""
    notes = [sound.warning] if sound.warning else []
    if sound.length_s is not None and sound.length_s > most_s + 1:
        notes.insert(0, f"only the first {most_s:g} s of {sound.length_s:.0f} s were used")
    elif sound.length_s is None and sound.used_s >= most_s:
        notes.insert(0, f"at most the first {most_s:g} s of the file were used")
    return "; ".join(notes) or None
