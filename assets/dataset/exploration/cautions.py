"""Cautions about a dataset, which limit what a result on it can mean. Each is one sentence.

The sentences are stored in the facts of `exploration_reports`.
"""

from collections.abc import Iterator

import polars as pl

DOMINANT = 0.5  # the share of a class above which one artist is a reason for a caution
UNBALANCED = 3.0  # the size of the largest class, relative to the smallest, for a caution
MOST_CLASSES = 8  # at most so many classes are named for a dominant artist
NAMES = {
    "duration_s": "length",
    "rms_dbfs": "RMS level",
    "peak_dbfs": "peak level",
    "sample_rate_hz": "sample rate",
    "channels": "number of channels",
}


def cautions(
    collection: pl.DataFrame, classes: pl.DataFrame, features: pl.DataFrame, *, sample_rate: int
) -> list[str]:
    """All cautions that apply to a dataset.

    Args:
        collection: the result of `tables.read_collection`.
        classes: the result of `tables.class_table`.
        features: the result of `tables.feature_table`.
        sample_rate: the sample rate of the spectrograms, in Hz.
    """
    used = classes.filter(pl.col("left out") < pl.col("tracks"))
    sentences: list[str] = []
    if used.height > 1:
        sentences += [*_balance(used), *_artists(used), *_recordings(features)]
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
