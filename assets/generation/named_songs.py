"""The recordings that a user names: files anywhere, or tracks of the library."""

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.generation.sources import open_track
from melgraph.assets.library.identity import identity_of
from melgraph.assets.library.tracks import FIRST_OF_ITS_TRACK, GOOD, Tracks
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import file_sha256
from melgraph.storage.home import Home
from melgraph.storage.location import is_bucket
from melgraph.storage.outside import is_outside, outside_path

_COLUMNS = ["track_id", "path", "title", "artist", "duration_s"]
_TRACK_ID = re.compile(r"[0-9a-f]{6,32}")
_SHOWN = 5  # tracks that a message names


@dataclass(frozen=True)
class NamedSong:
    """A recording that exists now.

    Attributes:
        track: `track_id`, `path` (as records name it), `title` and `artist`.
        sha256: of the file.
        file: the file, if it lies outside of the library.
        library_path: its path in the library, if it is there.
        seconds: its length, if a scan has measured it or the file states it.
    """

    track: Mapping[str, Any]
    sha256: str
    file: Path
    library_path: str | None = None
    seconds: float | None = None

    @property
    def is_outside(self) -> bool:
        """Whether it lies outside of the library."""
        return is_outside(self.track["path"])

    @property
    def where(self) -> str:
        """The file, for people."""
        return self.library_path or str(self.file)

    @contextmanager
    def local(self, home: Home) -> Iterator[Path]:
        """A local file with the recording."""
        if self.library_path is None:
            yield self.file
            return
        with home.open_library().local(self.library_path) as path:
            yield path


def find_song(context: Context, text: str, option: str) -> NamedSong:
    """The recording that a user named by a file, by a path in the library, or by a track id.

    Args:
        context: of the home.
        text: what the user wrote.
        option: names it in messages: "--source".

    Raises:
        UserError: there is no such recording, there are several, or it cannot be read.
    """
    path = _existing(text)
    if path is not None and path.is_dir():
        raise UserError(
            "this is a folder, not a recording",
            where=f"{option} {text}",
            remedy="name one audio file in it",
        )
    try:
        if path is not None:
            inside = _path_in_library(context.home, path)
            known = inside is not None and _is_unicode(inside)
            row = _row(context, pl.col("path") == inside) if known else None
            return (
                _outside(path, f"{option} {text}") if row is None else song_of_track(context, row)
            )
        if (row := _track(context, text, option)) is not None:
            return song_of_track(context, row)
    except OSError as error:
        raise UserError(
            f"the recording cannot be read: {error.strerror or error}",
            where=f"{option} {text}",
            remedy="check that the file is there and that you may read it",
        ) from None
    raise UserError(
        "there is no such file, and no such track in the library",
        where=f"{option} {text}",
        remedy="name an audio file, the path of a track in the library (as the page of tracks "
        "shows it), or the first six or more digits of a track id",
    )


def _existing(text: str) -> Path | None:
    """The local file or folder of this name; None if there is none."""
    if not text:
        return None
    path = Path(text).expanduser()
    try:
        return path if path.exists() else None
    except (OSError, RuntimeError):  # a name that is too long; a link to itself
        return None


def _path_in_library(home: Home, path: Path) -> str | None:
    """The path in the library of a local file; None if it lies elsewhere."""
    if is_bucket(home.library):
        return None
    folder = Path(home.library)
    for file, root in ((path.absolute(), folder), (path.resolve(), folder.resolve())):
        if file.is_relative_to(root) and ".." not in (inside := file.relative_to(root)).parts:
            return inside.as_posix()
    return None


def _outside(path: Path, where: str) -> NamedSong:
    """A file that no scan has registered. Its name is kept, and not its folder."""
    from melgraph.ml.audio import read_file_metadata

    if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe could wait for ever
        raise UserError("this is not a regular file", where=where, remedy="name an audio file")
    if path.stat().st_size == 0:
        raise UserError("the file is empty", where=where, remedy="name another recording")
    sha256 = file_sha256(path)
    metadata = read_file_metadata(path)
    track = {
        "track_id": identity_of(path, sha256).track_id,
        "path": outside_path(path),
        "title": metadata["title"],
        "artist": metadata["artist"],
    }
    return NamedSong(track, sha256, path, seconds=_stated_length(path))


def _stated_length(path: Path) -> float | None:
    from melgraph.ml.audio import BadAudio, open_audio

    try:
        with open_audio(path, max_seconds=1.0) as audio:
            return audio.promised_s
    except BadAudio:  # the excerpt cannot be decoded either, and that error says why
        return None


def song_of_track(context: Context, row: Mapping[str, Any]) -> NamedSong:
    """The recording of a track of the library, at the path where it is now.

    Args:
        context: of the home.
        row: of `tracks`, or of a dataset.

    Raises:
        UserError: it is not there any more.
    """
    with open_track(context.home, row["track_id"], row["path"]) as file:
        if file is not None:
            return NamedSong(row, file.sha256, file.local, file.path, row.get("duration_s"))
    raise UserError(
        "the recording is not there any more, or has another sound now",
        where=context.home.open_library().where(row["path"]),
        remedy="restore the file, run `melgraph run` to register the change, or name another one",
    )


def _track(context: Context, text: str, option: str) -> dict[str, Any] | None:
    """The track that a user named by its path in the library or by its id.

    Raises:
        UserError: several tracks have ids that begin like this.
    """
    if not _is_unicode(text):  # no track has such a path
        return None
    state = context.catalogue.live_file(text) if context.home.catalogue.is_file() else None
    if state is not None and (row := _row(context, pl.col("path") == state.origin)) is not None:
        return row
    if (row := _row(context, pl.col("path") == text)) is not None:
        return row
    if not _TRACK_ID.fullmatch(text):
        return None
    rows = _rows(context, FIRST_OF_ITS_TRACK & pl.col("track_id").str.starts_with(text))
    tracks = {row["track_id"]: row for row in rows}
    if len(tracks) > 1:
        names = ", ".join(row["path"] for row in list(tracks.values())[:_SHOWN])
        raise UserError(
            f"{len(tracks)} tracks have ids that begin with {text}: {names}",
            where=f"{option} {text}",
            remedy="write more digits of the id",
        )
    return next(iter(tracks.values()), None)


def _is_unicode(text: str) -> bool:
    """Whether a text holds no bytes of a file name in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(context: Context, where: pl.Expr) -> dict[str, Any] | None:
    return next(iter(_rows(context, GOOD & where)), None)


def _rows(context: Context, where: pl.Expr) -> list[dict[str, Any]]:
    batches = Tracks.all_current(context.store)
    return [row for batch in batches for row in batch.part(_COLUMNS, where).to_dicts()]
