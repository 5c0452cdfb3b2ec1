"""What to know of a dataset before a figure on it is believed, a sentence each."""

from collections.abc import Iterator

import polars as pl

DOMINANT = 0.5  # a caution where one artist has more than this share of a class
UNBALANCED = 3.0  # a caution where the largest class has so many times the tracks of the smallest
MOST_CLASSES = 8  # named one by one for the same reason
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
    """All that apply.

    Args:
        collection: `exploration_tables.read_collection`.
        classes: `exploration_tables.class_table`.
        features: `exploration_tables.feature_table`.
        sample_rate: of the spectrograms, Hz.
    """
    used = classes.filter(pl.col("left out") < pl.col("tracks"))
    found: list[str] = []
    if used.height > 1:
        found += [*_balance(used), *_artists(used), *_recordings(features)]
    narrow = collection.filter(pl.col("sample_rate_hz") < sample_rate).height
    if 0 < narrow < collection.height:
        found.append(
            f"{narrow} of {collection.height} tracks are sampled at less than {sample_rate:,} Hz: "
            "their spectrograms are empty at the top, which says nothing about the music"
        )
    return found


def _balance(used: pl.DataFrame) -> Iterator[str]:
    sizes = used.with_columns(size=pl.col("tracks") - pl.col("left out")).sort("size", "class")
    small, large = sizes.row(0, named=True), sizes.row(-1, named=True)
    if large["size"] >= UNBALANCED * small["size"]:
        yield (
            f"{large['class']!r} has {large['size']} tracks, {small['class']!r} {small['size']}: "
            "accuracy alone rewards answering with the large classes"
        )


def _artists(used: pl.DataFrame) -> Iterator[str]:
    told = []
    for row in used.iter_rows(named=True):
        share, heard = row["largest_artist_share"] or 0, row["heard_largest_artist_share"] or 0
        if share > DOMINANT:
            told.append((share, f"of {row['class']!r}", row["largest_artist"]))
        elif heard > DOMINANT:
            where = f"of what is learned {row['class']!r} from"
            told.append((heard, where, row["heard_largest_artist"]))
    told.sort(key=lambda item: -item[0])
    for share, where, artist in told[:MOST_CLASSES]:
        yield f"{share:.0%} {where} is one artist, {artist!r}"
    if len(told) > MOST_CLASSES:
        yield f"in {len(told) - MOST_CLASSES} other classes one artist has more than half, too"
    tracks = int(used["tracks"].sum())
    if unknown := tracks - int(used["artist_known"].sum()):
        yield f"the artist of {unknown} of {tracks} tracks is not known"


def _recordings(features: pl.DataFrame) -> Iterator[str]:
    told = features.filter(
        pl.col("kind") == "recording", pl.col("eta_squared") > pl.col("chance_95")
    )
    for row in told.iter_rows(named=True):
        yield (
            f"the {NAMES[row['feature']]} differs between the classes, which may be how they were "
            f"recorded: {row['eta_squared']:.0%} of its variance lies between them "
            f"({row['chance']:.0%} by chance)"
        )
