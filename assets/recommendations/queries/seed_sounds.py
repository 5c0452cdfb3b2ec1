"""What a query names: a track of the library, or an audio file elsewhere."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melgraph.assets.context import Context
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.recommendations.queries.query import Seed
from melgraph.assets.recommendations.queries.searched_tracks import SearchedTracks
from melgraph.assets.recommendations.queries.sounds import FileEmbedder, FileVectors
from melgraph.ml.errors import UserError
from melgraph.storage.location import is_bucket

_SUGGESTIONS = 3


@dataclass(frozen=True)
class SeedSound:
    """A seed, with the vectors and tags that tracks are compared with.

    Attributes:
        seed: its names, for the answer.
        vector: float32 `[dimension]`, of length 1.
        row: of the track in the index; None for a file.
        recordings: the numbers of its recordings in the library.
        segments: the segment vectors of a file; those of a track are read when they are needed.
        tags: the tags of a file, with their probabilities.
    """

    seed: Seed
    vector: NDArray[np.float32]
    row: int | None = None
    recordings: frozenset[int] = frozenset()
    segments: FileVectors | None = None
    tags: Mapping[str, float] = field(default_factory=dict)


class SeedSounds:
    """Finds tracks by their names, and embeds files.

    Args:
        context: of the home.
        encoder: the encoder of the index.
        tagger: the encoder whose tags explain a similarity; None for no tags.
    """

    def __init__(self, context: Context, encoder: Encoder, tagger: Encoder | None) -> None:
        self._library = context.home.library
        self._encoder, self._tagger = encoder, tagger
        self._embedder = FileEmbedder()

    def row(self, name: str, tracks: SearchedTracks) -> int | None:
        """The row of a track by its id, its path in the library, or its path on this machine."""
        if name in tracks.row_of_id:
            return tracks.row_of_id[name]
        if name in tracks.row_of_path:
            return tracks.row_of_path[name]
        if is_bucket(self._library):
            return None
        file = _file_named(name)
        if file is None:
            return None
        for path, library in (
            (file.absolute(), Path(self._library)),
            (file.resolve(), Path(self._library).resolve()),  # through links
        ):
            inside = Path(os.path.relpath(path, library)).as_posix()
            if inside in tracks.row_of_path:
                return tracks.row_of_path[inside]
        return None

    def of_file(self, name: str, tracks: SearchedTracks) -> SeedSound:
        """The sound of an audio file.

        Raises:
            UserError: there is no such file, or it cannot be used.
        """
        path = _file_named(name)
        if path is None or not path.is_file():
            raise self.unknown(name, tracks)
        vectors = self._embedder.embed(self._encoder, path)
        tags: dict[str, float] = {}
        if self._tagger is not None:
            same = self._tagger.reference == self._encoder.reference
            of_tagger = vectors if same else self._embedder.embed(self._tagger, path)
            scores = self._embedder.tags(self._tagger, of_tagger).tolist()
            tags = dict(zip(self._tagger.classes, scores, strict=True))
        length = float(np.linalg.norm(vectors.vector.astype(np.float64)))
        unit = (vectors.vector / (length or 1.0)).astype(np.float32)
        seed = Seed(name, None, str(path), caution=vectors.caution)
        return SeedSound(seed, unit, segments=vectors, tags=tags)

    def unknown(self, name: str, tracks: SearchedTracks) -> UserError:
        """The error for a name that is neither a track nor a file."""
        paths = list(tracks.row_of_path)
        near = difflib.get_close_matches(name, paths, n=_SUGGESTIONS, cutoff=0.5)
        by_file_name = [path for path in paths if Path(path).name == Path(name).name]
        suggestions = ", ".join(dict.fromkeys([*by_file_name, *near][:_SUGGESTIONS]))
        return UserError(
            f"{name!r} is neither a track of the library nor an audio file",
            where=f"the library {self._library}",
            remedy=f"did you mean {suggestions}?"
            if suggestions
            else "give a path below the library, a track id, or the path of an audio file",
        )


def _file_named(name: str) -> Path | None:
    """The path that a name stands for; None if no file can have this name."""
    try:
        path = Path(name).expanduser()
        path.resolve()
        path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, an unknown ~user, a loop
        return None
    return path
