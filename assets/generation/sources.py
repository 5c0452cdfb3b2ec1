"""The songs that generated sounds are made from: their files, and excerpts of them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from melgraph.assets.library.identity import identity_of
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import file_sha256
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from melgraph.ml.audio import Decoded
    from melgraph.ml.generation.views import View

SHORTEST_S = 0.1  # of an excerpt; a frame of every representation is shorter


@dataclass(frozen=True)
class Source:
    """An excerpt of a track, from which a sound is generated, or towards which it is moved.

    Attributes:
        track: what is known of the track: `track_id`, `path`, `title`, `artist`, `duration_s`,
            and, for a track of the dataset, `label`, `group` and `split`, which may be None.
        samples: float32 `[sample, channel]`, at the sample rate of the file.
        sample_rate: Hz.
        sha256: of the audio file that was read.
        start_s: where the excerpt starts in the track, seconds.
    """

    track: Mapping[str, Any]
    samples: np.ndarray
    sample_rate: int
    sha256: str
    start_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Length of the excerpt."""
        return len(self.samples) / self.sample_rate

    @property
    def label(self) -> str | None:
        """The label of the track in the dataset; None if it has none."""
        label: str | None = self.track.get("label")
        return label

    def check_length(self) -> None:
        """Check that the excerpt is longer than a frame of every representation.

        Raises:
            UserError: it is shorter than 0.1 s.
        """
        if self.seconds < SHORTEST_S:
            raise UserError(
                f"the excerpt has {len(self.samples)} samples ({1000 * self.seconds:.1f} ms), "
                "which is shorter than a frame of its spectrogram",
                where=str(self.track["path"]),
                remedy=f"use a recording, or a part of it, of at least {SHORTEST_S} s",
            )

    def picture(self, view: "View") -> np.ndarray:
        """What a network sees of the excerpt, in mono: float32 `[frame, row]`, dB."""
        return view.picture(self.samples, self.sample_rate)


def read_excerpt(home: Home, track: Mapping[str, Any], start_s: float, seconds: float) -> Source:
    """An excerpt of a track of the library; it starts earlier if the track is short.

    Raises:
        ArtifactCorrupt: the audio file of the track is missing or has another sound.
    """
    decoded, sha256 = _decode(home, track, start_s + seconds)
    rate = decoded.sample_rate
    start = min(int(start_s * rate), max(0, len(decoded.samples) - rate))
    samples = decoded.samples[start : start + int(seconds * rate)]
    return Source(track, samples, rate, sha256, start / rate)


def _decode(home: Home, track: Mapping[str, Any], seconds: float) -> tuple["Decoded", str]:
    """The first seconds of the audio file of a track, and the SHA-256 of the file."""
    from melgraph.ml.audio import decode

    with open_track(home, track["track_id"], track["path"]) as file:
        if file is None:
            raise ArtifactCorrupt(
                "the audio file is missing, or its sound is not that of the track in the dataset",
                where=home.open_library().where(track["path"]),
                remedy="restore the file, or materialize the dataset and its experiment again",
            )
        return decode(file.local, max_seconds=seconds), file.sha256


@dataclass(frozen=True)
class TrackFile:
    """A file of the library that holds a track.

    Attributes:
        local: the file, or a local copy of it.
        path: in the library.
        sha256: of the file.
    """

    local: Path
    path: str
    sha256: str


@contextmanager
def open_track(home: Home, track_id: str, path: str) -> Iterator[TrackFile | None]:
    """The file that holds a track now, whatever its metadata; None if there is none.

    Args:
        home: whose library is searched.
        track_id: of the track.
        path: where it was. The places to which it moved since are searched, too.
    """
    library = home.open_library()
    places = dict.fromkeys([path, *Catalogue(home.catalogue).locations(track_id)])
    with ExitStack() as stack:
        file = None
        for place in places:
            with suppress(OSError):  # of the search alone, not of the work with the file
                local = Path(stack.enter_context(library.local(place)))
                sha256 = file_sha256(local)
                if identity_of(local, sha256).track_id == track_id:
                    file = TrackFile(local, place, sha256)
                    break
        yield file
