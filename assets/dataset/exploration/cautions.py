"""Cautions about a dataset, which limit what a result on it can mean. Each is one sentence.

The sentences are stored in the facts of `exploration_reports`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from melgraph.assets.dataset.groups import GROUPING
from melgraph.assets.dataset.splits import SPLIT_ANEW, SPLIT_ANEW_SENTENCE

DOMINANT = 0.5  # the share of a class above which one artist is a reason for a caution
UNBALANCED = 3.0  # the size of the largest class, relative to the smallest, for a caution
LARGE_GROUP = 0.25  # the share of one group above which a split cannot keep its shares
MIN_TRACKS = 20  # in a smaller dataset, every group is a large share
MOST_NAMES = 5  # at most so many artists or series are named
MOST_CLASSES = 8  # at most so many classes are named for a dominant artist
NAMES = {
    "duration_s": "length",
    "rms_dbfs": "RMS level",
    "peak_dbfs": "peak level",
    "sample_rate_hz": "sample rate",
    "channels": "number of channels",
}


def cautions(
    collection: pl.DataFrame,
    classes: pl.DataFrame,
    features: pl.DataFrame,
    facts: Mapping[str, Any],
    *,
    sample_rate: int,
) -> list[str]:
    """All cautions that apply to a dataset.

    Args:
        collection: the result of `tables.read_collection`.
        classes: the result of `tables.class_table`.
        features: the result of `tables.feature_table`.
        facts: the facts of the snapshot.
        sample_rate: the sample rate of the spectrograms, in Hz.
    """
    used = classes.filter(pl.col("left out") < pl.col("tracks"))
    sentences: list[str] = []
    if used.height > 1:
        sentences += [*_balance(used), *_artists(used), *_recordings(features)]
    sentences += [*_groups(facts.get(GROUPING, {}), collection.height), *_several_labels(facts)]
    sentences += [*_copies(facts), *([SPLIT_ANEW_SENTENCE] if facts.get(SPLIT_ANEW) else [])]
    sentences += _albums(collection)
    narrow = collection.filter(pl.col("sample_rate_hz") < sample_rate).height
    if 0 < narrow < collection.height:
        sentences.append(
            f"{narrow} of {collection.height} tracks are sampled at less than {sample_rate:,} Hz: "
            "their spectrograms are empty at the top, which says nothing about the music"
        )
    return sentences


def _balance(used: pl.DataFrame) -> Iterator[str]:
    sizes = used.with_columns(size=pl.col("tracks") - pl.col("left out")).sort("size", "class")
    small, large = sizes.row(0, named=True), sizes.row(-1, named=True)
    if large["size"] >= UNBALANCED * small["size"]:
        yield (
            f"{large['class']!r} has {large['size']} tracks, {small['class']!r} {small['size']}: "
            "accuracy alone rewards answering with the large classes"
        )


def _artists(used: pl.DataFrame) -> Iterator[str]:
    dominant = []
    for row in used.iter_rows(named=True):
        share = row["largest_artist_share"] or 0
        train_share = row["heard_largest_artist_share"] or 0
        if share > DOMINANT:
            dominant.append((share, f"of {row['class']!r}", row["largest_artist"]))
        elif train_share > DOMINANT:
            where = f"of what is learned {row['class']!r} from"
            dominant.append((train_share, where, row["heard_largest_artist"]))
    dominant.sort(key=lambda item: -item[0])
    for share, where, artist in dominant[:MOST_CLASSES]:
        yield f"{share:.0%} {where} is one artist, {artist!r}"
    if len(dominant) > MOST_CLASSES:
        yield f"in {len(dominant) - MOST_CLASSES} other classes one artist has more than half, too"
    tracks = int(used["tracks"].sum())
    if unknown := tracks - int(used["artist_known"].sum()):
        yield f"the artist of {unknown} of {tracks} tracks is not known"


def _recordings(features: pl.DataFrame) -> Iterator[str]:
    differing = features.filter(
        pl.col("kind") == "recording", pl.col("eta_squared") > pl.col("chance_95")
    )
    for row in differing.iter_rows(named=True):
        yield (
            f"the {NAMES[row['feature']]} differs between the classes, which may be how they were "
            f"recorded: {row['eta_squared']:.0%} of its variance lies between them "
            f"({row['chance']:.0%} by chance)"
        )


def _groups(grouping: Mapping[str, Any], tracks: int) -> Iterator[str]:
    """What to know about the groups that a split keeps together."""
    if not grouping:  # an earlier melgraph wrote the snapshot
        return
    if guessed := grouping["guessed_groups"]:
        yield (
            f"{guessed} groups of tracks rest on guesses, from the names of files and folders: "
            "the column grouped_by of the dataset says which, and guess_groups = false in its TOML "
            "file switches guesses off"
        )
    share = grouping["largest_share"]
    if share > LARGE_GROUP and tracks >= MIN_TRACKS:
        yield (
            f"the largest group of related tracks has {share:.0%} of all tracks, and a split keeps "
            "it together"
        )
    for evidence, dropped in grouping["dropped"].items():
        yield (
            f"weak connections ({evidence}) of {dropped} tracks were dropped, because their group "
            "was too large or already divided: related tracks may be on both sides of the split"
        )
    if pairs := grouping["connected_pairs"]:
        names = ", ".join(f"{one!r} and {other!r}" for one, other in pairs[:MOST_NAMES])
        more = grouping["n_connected_pairs"] - min(len(pairs), MOST_NAMES)
        yield (
            f"artists that may be the same are in different groups: {names}"
            + (f", and {more} other pairs" if more else "")
        )
    if series := grouping["numbered_series"]:
        more = grouping["n_numbered_series"] - min(len(series), MOST_NAMES)
        yield (
            f"numbered files count as separate recordings: {', '.join(series[:MOST_NAMES])}"
            + (f", and {more} other series" if more else "")
            + "; if they are parts of one recording, put them into one folder or name their group "
            "in a table"
        )


def _copies(facts: Mapping[str, Any]) -> Iterator[str]:
    copies = facts.get("copies_with_other_metadata", {})
    if copies.get("tracks"):
        used, other = copies["first"][0]
        yield (
            f"{copies['tracks']} track(s) have several paths with different file metadata; that of "
            f"the first path is used, for example of {used!r} and not of {other!r}"
        )


def _several_labels(facts: Mapping[str, Any]) -> Iterator[str]:
    if several := facts.get("collection", {}).get("several_labels", 0):
        yield (
            f"{several} of {facts['labelled']} tracks have several genres in their file metadata: "
            "only the first is their class (multi_label = true uses all)"
        )


def _albums(collection: pl.DataFrame) -> Iterator[str]:
    albums = collection.filter(pl.col("cue_tracks").is_not_null())
    if albums.height:
        first = albums.sort("path").row(0, named=True)["path"]
        yield (
            f"{albums.height} files have a cue sheet that lists {albums['cue_tracks'].sum()} "
            f"tracks: each is one album, taken as one track, such as {first}; to "
            "use the tracks, cut these files at their cue sheets"
        )
