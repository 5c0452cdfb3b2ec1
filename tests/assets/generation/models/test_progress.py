"""Distances of a generative model over its training: rows, signs, sentences and the picture."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from melgraph.assets.generation.models import generative_evaluations
from melgraph.assets.generation.models.generative_evaluations import TABLE
from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.models.progress import ALL, distances, progress_sentences
from melgraph.assets.generation.selection import HELD_OUT
from melgraph.ml.plots import generative as plots
from melgraph.storage.artifacts import Work
from melgraph.storage.tables import read_table

FACTS = {
    "epochs": 2,
    "validation_loss_first": 2.0,
    "validation_loss_last": 1.0,
    "validation_loss_lowest": 1.0,
    "recordings": [{"genre": "dark", "learned": 9, "validation": 3}],
}
PNG = b"\x89PNG\r\n\x1a\n"


def by_genre(rows):
    return {row["genre"]: row for row in rows}


# -- a CycleGAN whose sounds are numbers, and an embedder that draws around them -------------------

GENRES = ("dark", "light")  # the embeddings of their recordings lie around 0 and around 4
PER_GENRE = 25
MISSING = "003"  # a recording of the first genre whose file is gone
CENTRES = {"dark": 0.0, "light": 4.0}


class FakeEmbedder:
    """Three segments around the number that a sound consists of, or around that of the genre."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.crop_s: list[float] = []

    def of_sounds(self, sounds: Any) -> list[np.ndarray]:
        return [self._around(float(mono[0])) for mono, _ in sounds]

    def of_recordings(self, table: pl.DataFrame, crop_s: float) -> list[Any]:
        self.crop_s.append(crop_s)
        present = (row for row in table.to_dicts() if row["track_id"] != MISSING)
        return [(row, self._around(CENTRES[row["label"]])) for row in present]

    def _around(self, centre: float) -> np.ndarray:
        song = centre + self.rng.normal(size=4)
        return song + 0.1 * self.rng.normal(size=(3, 4))


def sounds(numbers):
    return [(np.full(2000, number, np.float32), 1000) for number in numbers]


def cyclegan(to_dark, to_light):
    """A renderer; the arguments are the numbers of the sounds in the first and the last epoch.

    The samples towards a genre are made from recordings of the other one.
    """
    genres = ["dark"] * 8 + ["light"] * 8
    of_originals = ["light"] * 8 + ["dark"] * 8
    names = [f"song {number}" for number in range(16)]
    return SimpleNamespace(
        model=SimpleNamespace(genres=list(GENRES), facts=FACTS, kind="cyclegan"),
        edits_recordings=True,
        genres=genres,
        songs=names,
        genres_of_originals=of_originals,
        songs_of_originals=names,
        originals=lambda: iter(sounds(CENTRES[genre] for genre in of_originals)),
        of_epoch=lambda epoch: iter(sounds([to_dark[epoch - 1]] * 8 + [to_light[epoch - 1]] * 8)),
    )


def held_out():
    labels = [genre for genre in (*GENRES, "another genre") for _ in range(PER_GENRE)]
    ids = [f"{number:03d}" for number in range(len(labels))]
    return pl.DataFrame({"track_id": ids, "label": labels})


def test_a_distance_that_falls_has_a_change_below_zero_and_one_that_rises_above():
    embedder = FakeEmbedder()
    renderer = cyclegan(to_dark=(4.0, 0.0), to_light=(4.0, 0.0))  # only the first one learns
    result = distances(cast(Any, renderer), cast(Any, embedder), held_out())
    assert embedder.crop_s == [2.0]
    changes = by_genre(result["changes"])
    assert changes["dark"]["high"] < 0
    assert changes["light"]["low"] > 0
    assert list(changes) == ["dark", "light"]  # what a CycleGAN makes is not pooled
    assert changes["dark"]["n_reference"] == PER_GENRE - 1
    assert changes["light"]["n_reference"] == PER_GENRE
    assert changes["dark"]["n"] == 8
    advances = by_genre(result["advances"])
    assert advances["dark"]["high"] < 0
    assert advances["light"]["low"] <= 0 <= advances["light"]["high"]
    for genre, change in changes.items():
        assert change["low"] <= change["change"] <= change["high"]
        first, last = (row["kad"] for row in result["epochs"] if row["genre"] == genre)
        assert change["change"] == pytest.approx(last - first, abs=2e-4)  # of rounded figures
    loss, dark, light, nearer, unknown, gone = progress_sentences(cast(Any, renderer.model), result)
    assert "lowest: 1; 3 recordings, one training" in loss
    assert "does not say that the genre changes" in loss
    assert "of dark fell from the first epoch to the last" in dark
    assert "over 8 songs and 24 recordings" in dark
    assert "of light rose from the first epoch to the last" in light
    assert "is nearer to held-out recordings of dark than" in nearer
    assert "is not shown to be nearer to held-out recordings of light" in unknown
    assert "held-out recordings that were left out" in gone
    assert gone.endswith("is 1.")


def test_real_crops_of_the_genre_are_near_and_unchanged_sources_are_far():
    renderer = cyclegan(to_dark=(2.0, 2.0), to_light=(2.0, 2.0))
    result = distances(cast(Any, renderer), cast(Any, FakeEmbedder()), held_out())
    ceiling, floor = by_genre(result["ceiling"]), by_genre(result["floor"])
    for genre in GENRES:
        assert ceiling[genre]["kad"] < 10
        assert floor[genre]["kad"] > 50
        assert by_genre(result["changes"])[genre]["low"] < 0
        assert by_genre(result["changes"])[genre]["high"] > 0
    renderer.model.kind, renderer.edits_recordings = "recreation", False
    result = distances(cast(Any, renderer), cast(Any, FakeEmbedder()), held_out())
    assert result["floor"] == result["advances"] == []
    assert [row["genre"] for row in result["changes"]] == [ALL, *GENRES]


# -- a trained model and a tagger ------------------------------------------------------------------


@pytest.fixture
def few_suffice(monkeypatch):
    """The library of the tests has 4 held-out recordings of each genre."""
    monkeypatch.setattr("melgraph.ml.metrics.kernel_distance.MIN_REFERENCE_SONGS", 3)
    monkeypatch.setattr("melgraph.assets.generation.models.progress.MIN_REFERENCE_SONGS", 3,
                        raising=False)  # fmt: skip
    monkeypatch.setattr("melgraph.assets.generation.models.progress.MIN_SOUNDS", 2)


def test_the_distances_of_a_flow_are_in_the_table_in_the_sentences_and_in_the_picture(
    home_copy, tmp_path, monkeypatch, few_suffice
):
    home, calls = home_copy(), []
    draw = plots.generative_curves

    def draw_and_note(rows, panels=(), **arguments):
        calls.append((rows, panels))
        return draw(rows, panels, **arguments)

    monkeypatch.setattr(plots, "generative_curves", draw_and_note)
    spec = generative_evaluations.plan_generative_evaluation(home.context, "tiny-flow")
    work = Work(spec, tmp_path / "work")
    work.folder.mkdir()
    generative_evaluations.write_generative_evaluation(home.store, work)

    model = GenerativeModel.current(home.store, "tiny-flow")
    held_out = model.snapshot.table().filter(pl.col("split").is_in(HELD_OUT))
    genres = [ALL, *model.genres]
    n_reference = {ALL: 12} | dict(held_out.group_by("label").len().iter_rows())
    n_samples = {ALL: 18} | dict.fromkeys(model.genres, 6)
    rows = read_table(work.folder / TABLE)
    assert rows.select("epoch", "genre").rows() == [(e, genre) for e in (1, 2) for genre in genres]
    for row in [*rows.to_dicts(), *work.facts["ceiling"]]:
        assert row["low"] <= row["high"]
        assert np.isfinite(row["kad"])
        assert row["n_reference"] == n_reference[row["genre"]]
    assert dict(rows.filter(epoch=1).select("genre", "n").iter_rows()) == n_samples
    assert work.facts["floor"] == []  # noise is no source

    kad = {(row["epoch"], row["genre"]): row["kad"] for row in rows.to_dicts()}
    changes = by_genre(work.facts["changes"])
    assert list(changes) == genres
    for genre, change in changes.items():
        assert change["change"] == pytest.approx(kad[2, genre] - kad[1, genre], abs=2e-4)
    sentences = [text for text in work.facts["sentences"] if "The distance (KAD)" in text]
    assert len(sentences) == len(genres)
    for genre, text in zip(genres, sentences, strict=True):
        assert f"held-out recordings of {genre} " in text
        assert f"{changes[genre]['change']:+.2f}" in text
        assert f"over {n_samples[genre]} songs and {n_reference[genre]} recordings" in text

    ((curves, panels),) = [one for one in calls if one[1]]
    assert [panel.title for panel in panels] == [
        f"Distance to held-out {genre} ({n_samples[genre]} songs, {n_reference[genre]} recordings)"
        for genre in genres
    ]
    real = by_genre(work.facts["ceiling"])
    for epoch, row in enumerate(curves, start=1):
        for genre, panel in zip(genres, panels, strict=True):
            assert list(panel.lines) == [f"kad {genre}", f"real {genre}"]
            assert row[f"kad {genre}"] == kad[epoch, genre]
            assert row[f"real {genre}"] == real[genre]["kad"]
    assert (work.folder / generative_evaluations.PICTURE).read_bytes().startswith(PNG)
