"""How what a generative model makes approaches held-out recordings over its training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.generation.models.embedding import SoundEmbedder, chosen_references
from melgraph.assets.generation.models.generative_model import VALIDATED, GenerativeModel
from melgraph.assets.generation.models.rendering import SampleRenderer
from melgraph.assets.ui import progress_bar

if TYPE_CHECKING:
    from melgraph.ml.metrics.kernel_distance import SongKernels

MOST_EPOCHS = 12  # of which the distance is computed; the first and the last are among them
MIN_SOUNDS = 5  # of a genre; with fewer, the distance is undetermined
SEED = 0
ALL = "all genres together"  # of a model; a genre of this name has no row of its own
DISTANCES = ("epochs", "ceiling", "floor", "changes", "advances")  # what `distances` returns
Embeddings = Sequence[np.ndarray]


def distances(
    renderer: SampleRenderer, embedder: SoundEmbedder, held_out: pl.DataFrame
) -> dict[str, Any]:
    """Kernel audio distances to held-out recordings of the genre, by epoch.

    Args:
        renderer: of the samples of each epoch.
        embedder: of sounds.
        held_out: the test and validation side of the dataset.

    Returns:
        `epochs`: a row per evaluated epoch and genre; `ceiling`: real crops of the genre, rendered
        in the same way; `floor`: the unchanged sources of a CycleGAN, which are of the other genre;
        `changes`: from the first to the last epoch; `advances`: from the unchanged sources to the
        last epoch; all ready for JSON.
    """
    references = chosen_references(held_out, renderer.model.genres)
    originals = list(renderer.originals())
    mono, rate = originals[0]
    real = embedder.of_recordings(references, len(mono) / rate)

    def sides_of(genres: Sequence[str]) -> dict[str, _Side]:
        """The references of each genre, and which of the sounds of these genres belong to it."""
        return {
            genre: _Side(
                [segments for row, segments in real if genre in (ALL, row["label"])],
                [number for number, own in enumerate(genres) if genre in (ALL, own)],
            )
            for genre in shown_genres(renderer.model)
        }

    sides = sides_of(renderer.genres)
    by_epoch: dict[int, Embeddings] = {}
    epochs = _spread(renderer.model.facts["epochs"])
    with progress_bar(len(epochs), "epochs", "kernel audio distance") as bar:
        for epoch in epochs:
            by_epoch[epoch] = embedder.of_sounds(renderer.of_epoch(epoch))
            bar.update()
    rows = [
        {"epoch": epoch, "genre": genre, **side.distance(embeddings, renderer.songs)}
        for epoch, embeddings in by_epoch.items()
        for genre, side in sides.items()
    ]
    of_originals = embedder.of_sounds(originals)

    def rows_of_originals(genres: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {"genre": genre, **side.distance(of_originals, renderer.songs_of_originals)}
            for genre, side in sides_of(genres).items()
        ]

    ceiling = rows_of_originals(renderer.genres_of_originals)
    first, last = by_epoch[epochs[0]], by_epoch[epochs[-1]]
    changes = [
        {"genre": genre, **side.change(first, last, renderer.songs)}
        for genre, side in sides.items()
    ]
    results: dict[str, Any] = {
        "epochs": rows,
        "ceiling": ceiling,
        "floor": [],
        "changes": changes,
        "advances": [],
        "missing": references.height - len(real),
    }
    if renderer.edits_recordings:
        results["floor"] = rows_of_originals(renderer.genres)
        results["advances"] = [
            {"genre": genre, **side.change(of_originals, last, renderer.songs)}
            for genre, side in sides.items()
        ]
    return results


def shown_genres(model: GenerativeModel) -> list[str]:
    """The genres with a distance of their own, and all together where that says something.

    What a CycleGAN makes of both genres is as mixed as its sources are.
    """
    if model.kind == "cyclegan":
        return list(model.genres)
    return [ALL, *(genre for genre in model.genres if genre != ALL)]


class _Side:
    """The reference recordings of a genre, and which samples are meant to be of it."""

    def __init__(self, reference: Embeddings, chosen: Sequence[int]) -> None:
        self._reference, self._chosen = reference, chosen

    def _absence(self, songs: Sequence[str], *names: str) -> dict[str, Any] | None:
        """The row of a distance that cannot be determined; None if it can."""
        from melgraph.ml.metrics.kernel_distance import MIN_REFERENCE_SONGS

        sizes = self._sizes(songs)
        if sizes["n_reference"] < MIN_REFERENCE_SONGS or sizes["n"] < MIN_SOUNDS:
            return dict.fromkeys(names) | sizes
        return None

    def _sizes(self, songs: Sequence[str]) -> dict[str, Any]:
        """How many recordings and songs there are; several crops of one song count once."""
        own = {songs[number] for number in self._chosen}
        return {"n_reference": len(self._reference), "n": len(own)}

    def distance(self, embeddings: Embeddings, songs: Sequence[str]) -> dict[str, Any]:
        from melgraph.ml.metrics.kernel_distance import kernel_distance

        if absence := self._absence(songs, "kad", "low", "high"):
            return absence
        generated, of_songs = self._generated(embeddings, songs)
        real, of_real = _joined(self._reference, range(len(self._reference)))
        kad = asdict(
            kernel_distance(
                real, generated, reference_songs=of_real, generated_songs=of_songs, seed=SEED
            )
        )
        return {
            "kad": _rounded(kad["value"]),
            "low": _rounded(kad["low"]),
            "high": _rounded(kad["high"]),
            **self._sizes(songs),
        }

    def change(self, first: Embeddings, last: Embeddings, songs: Sequence[str]) -> dict[str, Any]:
        from melgraph.ml.metrics.kernel_distance import distance_change

        if absence := self._absence(songs, "change", "low", "high"):
            return absence
        before, after = (self._kernels(embeddings, songs) for embeddings in (first, last))
        change, low, high = distance_change(before, after, seed=SEED)
        return {
            "change": _rounded(change),
            "low": _rounded(low),
            "high": _rounded(high),
            **self._sizes(songs),
        }

    def _kernels(self, embeddings: Embeddings, songs: Sequence[str]) -> "SongKernels":
        from melgraph.ml.metrics.kernel_distance import SongKernels

        generated, of_songs = self._generated(embeddings, songs)
        real, of_real = _joined(self._reference, range(len(self._reference)))
        return SongKernels.of(real, generated, reference_songs=of_real, generated_songs=of_songs)

    def _generated(
        self, embeddings: Embeddings, songs: Sequence[str]
    ) -> tuple[np.ndarray, list[Any]]:
        return _joined(
            [embeddings[number] for number in self._chosen],
            [songs[number] for number in self._chosen],
        )


def _joined(embeddings: Embeddings, songs: Iterable[Any]) -> tuple[np.ndarray, list[Any]]:
    """All segments, and the song of each."""
    pairs = list(zip(embeddings, songs, strict=True))
    return (
        np.concatenate([segments for segments, _ in pairs]),
        [song for segments, song in pairs for _ in segments],
    )


def _spread(epochs: int) -> list[int]:
    count = min(epochs, MOST_EPOCHS)
    return sorted({round(float(epoch)) for epoch in np.linspace(1, epochs, count)})


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def progress_sentences(model: GenerativeModel, rows: Mapping[str, Any]) -> list[str]:
    """Whether the validation loss and the distances fall, in plain words.

    Args:
        model: the generative model.
        rows: what `distances` returns; its lists may be empty.
    """
    from melgraph.ml.metrics.kernel_distance import MIN_REFERENCE_SONGS

    sentences = [loss_sentence(model)]
    ceiling = {row["genre"]: row for row in rows["ceiling"]}
    last = {row["genre"]: row for row in rows["epochs"]}  # rows of later epochs come later
    for row in rows["changes"]:
        if row["change"] is not None:
            verb = _direction(row, "fell", "rose", "is not shown to fall or to rise")
            sentences.append(
                f"The distance (KAD) to held-out recordings of {row['genre']} {verb} from the "
                f"first epoch to the last: {_change(row)}. After the last epoch it is "
                f"{_kad(last[row['genre']])}, that of real crops {_kad(ceiling[row['genre']])}."
            )
    for row in rows["advances"]:
        if row["change"] is not None:
            verb = _direction(row, "is nearer", "is farther", "is not shown to be nearer")
            sentences.append(
                f"What the last epoch makes {verb} to held-out recordings of {row['genre']} than "
                f"its unchanged sources: {_change(row)}."
            )
    unknown = [row for row in rows["changes"] if row["change"] is None]
    if unknown:
        listed = ", ".join(
            f"{row['genre']} ({row['n_reference']} recordings, {row['n']} songs)" for row in unknown
        )
        sentences.append(
            f"The distance (KAD) to held-out recordings is undetermined for {listed}: it needs "
            f"{MIN_REFERENCE_SONGS} held-out recordings of the genre, and samples from "
            f"{MIN_SOUNDS} songs. Add recordings of these genres, or raise `test` of the dataset."
        )
    if rows.get("missing"):
        sentences.append(
            "The number of held-out recordings that were left out, because their audio files are "
            f"missing or have another sound, is {rows['missing']}."
        )
    return sentences


def loss_sentence(model: GenerativeModel) -> str:
    """Whether the validation loss fell."""
    from melgraph.ml.generative.base import fell

    facts = model.facts
    first, last = facts["validation_loss_first"], facts["validation_loss_last"]
    verb = "fell" if fell([first, last]) else "did not fall"
    count = sum(row[VALIDATED] for row in facts["recordings"])
    sentence = (
        f"The validation loss {verb}: {first:.4g} after the first epoch, {last:.4g} after the last "
        f"(lowest: {facts['validation_loss_lowest']:.4g}; {count} recordings, one training)."
    )
    if model.kind == "cyclegan":
        sentence += (
            " This loss is also low if the networks change nothing: it does not say that the genre "
            "changes."
        )
    return sentence


def _direction(row: Mapping[str, Any], down: str, up: str, unknown: str) -> str:
    if row["high"] < 0:
        return down
    return up if row["low"] > 0 else unknown


def _change(row: Mapping[str, Any]) -> str:
    return (
        f"{row['change']:+.2f} (95 % confidence interval {row['low']:+.2f} to {row['high']:+.2f} "
        f"over {row['n']} songs and {row['n_reference']} recordings)"
    )


def _kad(row: Mapping[str, Any]) -> str:
    if row["kad"] is None:
        return "undetermined"
    return f"{row['kad']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
