"""Which tracks stay together in one split: the rules, their evidence, and what rests on guesses.

Every rule gives tracks a key, and tracks with an equal key are connected. The connected components
are the groups. Facts come first: the same recording, the artist or group in a list, the artist in
the file metadata. Guesses come from the names of files and folders, and only for tracks whose
artist is not known, except for parts and versions of one recording.

A chain of guests and guesses can connect most of a library. In a group with more than
`LARGEST_SHARE` of all tracks, the weakest joins are therefore dropped, one kind after the other.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from mutagen.id3 import TCON
from numpy.typing import NDArray

from melgraph.ml.recordings import placeholders
from melgraph.ml.recordings.artists import Credits, connected_names, read_credits
from melgraph.ml.recordings.components import components
from melgraph.ml.recordings.file_names import (
    artist_and_title,
    chunk_keys,
    folder_guess,
    version_keys,
)
from melgraph.ml.recordings.spelling import spelling_key

GROUPING_RULES = 2
"""Version of the rules. Add 1 if they now join or separate other tracks.

The configuration of every snapshot names it, as `grouping_rules`. A snapshot that was grouped by
other rules (or has no such key) is no parent of a new one, because its splits may leak.
"""

RECORDING = "same recording"
LISTED = "artist or group in the list"
ARTIST = "artist in the file metadata"
ALBUM = "album in the file metadata, artist unknown"
GUEST = "guest, remixer or further artist"
PART = "parts of one recording, by file name"
VERSION = "versions of one recording, by file name"
NAME = "artist, by file name"
FOLDER = "artist or album, by folder"

GUESSES = frozenset({PART, VERSION, NAME, FOLDER})
"""Evidence that is a guess."""

DROPPED_FIRST = (FOLDER, NAME, VERSION, PART, GUEST)
"""The order in which joins of a group that is too large are dropped. Others are never dropped."""

LARGEST_SHARE, MIN_LARGE = 0.4, 20
"""A group of at least `MIN_LARGE` tracks with more than this share of all tracks is too large: it
fits into no split but training."""


@dataclass(frozen=True)
class GroupedTrack:
    """What the rules know about a track.

    Attributes:
        path: of its file, below the library.
        artists: all values of the artist field of the file.
        album, title: fields of the file.
        listed_artist, listed_group: from the lists of the collection; they replace the file's own.
        recording: its cluster of duplicates.
    """

    path: str
    artists: tuple[str, ...] = ()
    album: str | None = None
    title: str | None = None
    listed_artist: str | None = None
    listed_group: str | None = None
    recording: str | None = None


@dataclass(frozen=True)
class Join:
    """A key of a track. Tracks with an equal key are connected."""

    row: int
    key: str
    evidence: str


@dataclass(frozen=True)
class Parent:
    """What the parent snapshot decided about the same tracks.

    A library grows, and a group that was too large is not any more. The joins that were dropped
    then stay dropped where they would connect earlier tracks of different splits.

    Attributes:
        splits: the split of each track in the parent snapshot; None for new tracks.
        dropped: the evidence that was dropped there for some group.
    """

    splits: Sequence[str | None]
    dropped: AbstractSet[str] = frozenset()


@dataclass(frozen=True)
class Grouping:
    """The groups of some tracks.

    Attributes:
        groups: int64 `[track]`, the group of each track, numbered from 0.
        evidence: for each track, what connects it to others, strongest first.
        artist_known: for each track, whether the list or the file metadata names its artist.
        dropped: evidence -> tracks whose joins were dropped, because their group was too large, or
            was so in the parent snapshot.
        guessed_groups: number of groups that would fall apart without guesses.
        connected_pairs: pairs of artists in different groups of which one name contains the other
            with `&` or "and".
        numbered_series: series of numbered files that count as separate recordings, although they
            could be parts of one.
    """

    groups: NDArray[np.int64]
    evidence: tuple[tuple[str, ...], ...]
    artist_known: tuple[bool, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    guessed_groups: int = 0
    connected_pairs: tuple[tuple[str, str], ...] = ()
    numbered_series: tuple[str, ...] = ()

    @cached_property
    def largest_share(self) -> float:
        """The share of all tracks that the largest group has; 0 without tracks."""
        return float(np.bincount(self.groups).max() / len(self.groups)) if len(self.groups) else 0.0


def group_tracks(
    tracks: Sequence[GroupedTrack],
    *,
    label_level: int | None = None,
    labels: AbstractSet[str] = frozenset(),
    folders: bool = True,
    guesses: bool = True,
    parent: Parent | None = None,
) -> Grouping:
    """Group tracks that must stay in one split.

    Args:
        tracks: all good tracks of a dataset.
        label_level: level of the folder that is the label; None if labels come from elsewhere.
        labels: the labels of the dataset. A folder or file with such a name is no artist.
        folders: whether folders may name artists; False for the layout of a published collection.
        guesses: whether to use the names of files and folders.
        parent: what the parent snapshot decided; None if there is none.
    """
    ignored = {spelling_key(label) for label in labels} | _GENRES
    credits = [_credits(track) for track in tracks]
    joins = [*_facts(tracks, credits)]
    series: list[str] = []
    if guesses:
        paths = [track.path for track in tracks]
        chunks, series = chunk_keys(paths, ignored)
        joins += _keyed(PART, "part", chunks) + _keyed(VERSION, "file", version_keys(paths))
        unknown = [(row, track.path) for row, (track, credit) in
                   enumerate(zip(tracks, credits, strict=True)) if not credit.first]  # fmt: skip
        joins += _artists_in_names(unknown, ignored)
        if folders:
            joins += _artists_in_folders(unknown, label_level, ignored)
    joins += _possible(credits, joins)
    parent = parent or Parent((None,) * len(tracks))
    kept, dropped = _drop_weak_joins(len(tracks), joins, parent)
    groups = _components(len(tracks), kept)
    return Grouping(
        groups,
        _evidence(len(tracks), kept),
        tuple(bool(credit.first) for credit in credits),
        dropped,
        _guessed_groups(groups, kept),
        _connected_pairs(tracks, credits, groups),
        tuple(series),
    )


def gains_keys(before: GroupedTrack, now: GroupedTrack) -> bool:
    """Whether a track may be connected to other tracks than before, by its metadata or its path."""
    keys = [{join.key for join in _facts([one], [_credits(one)])} for one in (before, now)]
    return before.path != now.path or not keys[1] <= keys[0]


_GENRES = frozenset(map(spelling_key, TCON.GENRES))


def _credits(track: GroupedTrack) -> Credits:
    values = (track.listed_artist,) if track.listed_artist else track.artists
    return read_credits(values, track.title)


def _facts(tracks: Sequence[GroupedTrack], credits: Sequence[Credits]) -> Iterator[Join]:
    """Joins by duplicates, lists and file metadata."""
    for row, (track, credit) in enumerate(zip(tracks, credits, strict=True)):
        if track.recording is not None:
            yield Join(row, f"recording {track.recording}", RECORDING)
        if track.listed_group is not None:
            yield Join(row, f"group {track.listed_group}", LISTED)
        for key in credit.first:
            yield Join(row, f"artist {key}", LISTED if track.listed_artist else ARTIST)
        for key in credit.further:
            yield Join(row, f"artist {key}", GUEST)
        album = "" if credit.first else spelling_key(track.album or "")
        if album and album not in placeholders.ALBUMS:
            yield Join(row, f"album {album}", ALBUM)


def _keyed(evidence: str, kind: str, keys: Sequence[str | None]) -> list[Join]:
    rows = enumerate(keys)
    return [Join(row, f"{kind} {key}", evidence) for row, key in rows if key is not None]


def _artists_in_names(
    files: Sequence[tuple[int, str]], ignored: AbstractSet[str]
) -> Iterator[Join]:
    """Joins by `Artist - Title`, of row and path of the tracks without a known artist."""
    for row, path in files:
        for name, title in artist_and_title(path, ignored):
            guess = read_credits([name], title)
            for key in (*guess.first, *guess.further):
                yield Join(row, f"artist {key}", NAME)


def _artists_in_folders(
    files: Sequence[tuple[int, str]], level: int | None, ignored: AbstractSet[str]
) -> Iterator[Join]:
    """Joins by `Artist/Album/Track`, of row and path of the tracks without a known artist."""
    for row, path in files:
        artist, album = folder_guess(path, level, ignored)
        for key in read_credits([artist]).first if artist else ():
            yield Join(row, f"artist {key}", FOLDER)
        if album:
            yield Join(row, f"folder {album}", FOLDER)


def _possible(credits: Sequence[Credits], joins: Sequence[Join]) -> list[Join]:
    """Joins by names that may be artists, if they are artists of other tracks."""
    known = {join.key for join in joins}
    return [
        Join(row, f"artist {key}", GUEST)
        for row, credit in enumerate(credits)
        for key in credit.possible
        if f"artist {key}" in known
    ]


def _components(n: int, joins: Sequence[Join]) -> NDArray[np.int64]:
    """The component of each track. Tracks and keys are nodes, and joins are edges."""
    numbers: dict[str, int] = {}
    edges = [(join.row, n + numbers.setdefault(join.key, len(numbers))) for join in joins]
    return components(n + len(numbers), edges)[:n]


def _drop_weak_joins(
    n: int, joins: list[Join], parent: Parent
) -> tuple[list[Join], dict[str, int]]:
    """The joins that connect tracks and were not dropped; and dropped evidence -> its tracks."""
    dropped: dict[str, int] = {}
    sharing = _rows_by_key(joins)
    joins = [join for join in joins if sharing[join.key] > 1]
    for evidence in DROPPED_FIRST:
        groups = _components(n, joins)
        sizes = np.bincount(groups, minlength=1)
        large = (sizes > LARGEST_SHARE * n) & (sizes >= MIN_LARGE)
        rows = set(np.flatnonzero(large[groups]).tolist())
        if evidence in parent.dropped:
            rows |= _divided(n, joins, parent.splits)
        weak = {join for join in joins if join.evidence == evidence and join.row in rows}
        if weak:
            dropped[evidence] = len({join.row for join in weak})
            joins = [join for join in joins if join not in weak]
    return joins, dropped


def _divided(n: int, joins: Sequence[Join], splits: Sequence[str | None]) -> set[int]:
    """The earlier tracks that are connected among each other, but are in different splits."""
    groups = _components(n, [join for join in joins if splits[join.row] is not None])
    in_group: dict[int, set[str]] = {}
    for group, split in zip(groups.tolist(), splits, strict=True):
        if split is not None:
            in_group.setdefault(group, set()).add(split)
    return {
        row
        for row, (group, split) in enumerate(zip(groups.tolist(), splits, strict=True))
        if split is not None and len(in_group[group]) > 1
    }


def _evidence(n: int, joins: Sequence[Join]) -> tuple[tuple[str, ...], ...]:
    """For each track, the evidence of the joins that connect it to another track."""
    sharing = _rows_by_key(joins)
    of_row: list[set[str]] = [set() for _ in range(n)]
    for join in joins:
        if sharing[join.key] > 1:
            of_row[join.row].add(join.evidence)
    order = (RECORDING, LISTED, ARTIST, ALBUM, *reversed(DROPPED_FIRST))
    return tuple(tuple(one for one in order if one in evidence) for evidence in of_row)


def _rows_by_key(joins: Sequence[Join]) -> Counter[str]:
    """The number of tracks that have each key."""
    return Counter(key for _, key in {(join.row, join.key) for join in joins})


def _guessed_groups(groups: NDArray[np.int64], joins: Sequence[Join]) -> int:
    """The number of groups that would fall apart without guesses."""
    certain = [join for join in joins if join.evidence not in GUESSES]
    pieces = _components(len(groups), certain)
    pairs = {(int(group), int(piece)) for group, piece in zip(groups, pieces, strict=True)}
    return sum(n > 1 for n in Counter(group for group, _ in pairs).values())


def _connected_pairs(
    tracks: Sequence[GroupedTrack], credits: Sequence[Credits], groups: NDArray[np.int64]
) -> tuple[tuple[str, str], ...]:
    """Artists such as ("Simon & Garfunkel", "Simon") that are in different groups."""
    spellings: dict[str, tuple[str, int]] = {}
    for row, (track, credit) in enumerate(zip(tracks, credits, strict=True)):
        name = track.listed_artist or next(iter(track.artists), "")
        for key in credit.first:
            spellings.setdefault(key, (name, int(groups[row])))
    pairs = {
        (name, spellings[key][0])
        for name, group in spellings.values()
        for part in connected_names(name)
        if (key := spelling_key(part)) in spellings and spellings[key][1] != group
    }
    return tuple(sorted(pairs))
