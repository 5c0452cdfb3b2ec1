"""Which tracks are recommended, and how their agreement with the labels is measured."""

import numpy as np
import polars as pl
import pytest

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.recommendations import agreement
from melgraph.assets.recommendations.agreement import agreement_sentence, best_first
from melgraph.assets.recommendations.indexes import segment_specs, write_index_segment
from melgraph.assets.recommendations.recommendations import TABLE, _neighbours, show
from melgraph.assets.stages import EMBEDDINGS, ENCODERS, RECOMMENDATION_INDEXES, RECOMMENDATIONS
from melgraph.ml.similarity.neighbours import normalise
from melgraph.storage.tables import read_table
from tests.assets.models.trainings import make, make_dataset, write_labels
from tests.conftest import MadeHome, copy_home

ENCODER = "mel-coins"


class ExactIndex:
    """Searches as `VectorIndex` does, by names instead of hexadecimal track ids."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.ids, self.unit = list(vectors), normalise(np.array(list(vectors.values())))

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        similarity = normalise(queries) @ self.unit.T
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        return [[(self.ids[i], float(row[i])) for i in of_row]
                for of_row, row in zip(order, similarity, strict=True)]  # fmt: skip


def recommended(vectors, *, k=10, recordings=None, gone=()) -> dict[str, list[str]]:
    ids = [track_id for track_id in vectors if track_id not in gone]
    array = np.array([vectors[i] for i in ids], np.float32)
    index = ExactIndex(vectors)
    table = _neighbours(index, ids, array, dict.fromkeys(ids), recordings or {}, k)
    assert (table["similarity"] > 0).all()
    for _, rows in table.group_by("track_id"):
        assert rows["rank"].to_list() == list(range(1, rows.height + 1))
    by_track = table.group_by("track_id", maintain_order=True).agg("recommended_id")
    return dict(by_track.iter_rows())


ANGLES = {"a": 0, "a-copy": 1, "b": 20, "b-copy": 25, "c": 40, "opposite": 200, "across": 95}
VECTORS = {name: [np.cos(np.radians(x)), np.sin(np.radians(x))] for name, x in ANGLES.items()}
COPIES = {"a": "1", "a-copy": "1", "b": "2", "b-copy": "2"}


def test_each_recording_is_recommended_once_and_never_for_its_own_copy():
    rows = recommended(VECTORS, recordings=COPIES)
    assert rows["a"] == rows["a-copy"] == ["b", "c"]
    assert rows["c"] == ["b-copy", "a-copy", "across"]  # each recording by its nearest copy
    assert recommended(VECTORS)["a"] == ["a-copy", "b", "b-copy", "c"]


def test_a_track_is_not_recommended_if_its_similarity_is_not_positive():
    rows = recommended(VECTORS, recordings=COPIES)
    assert "opposite" not in {name for near in rows.values() for name in near}
    assert "across" not in rows["a"]
    assert rows.get("opposite") is None


def test_copies_and_missing_tracks_do_not_shorten_the_list():
    rng = np.random.default_rng(0)
    vectors = {f"t{i}": [1.0, *rng.normal(0, 0.1, 3)] for i in range(40)}
    copies = {f"t{i}": str(i % 3) for i in range(30)}
    rows = recommended(vectors, k=10, recordings=copies, gone=("t38", "t39"))
    assert {len(near) for near in rows.values()} == {10}
    for track_id, near in rows.items():
        seen = [copies.get(i, i) for i in near]
        assert len(set(seen)) == 10
        assert copies.get(track_id, track_id) not in seen
        assert not {"t38", "t39"} & set(near)


@pytest.fixture(scope="module")
def home(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """A home with an encoder whose dataset has other labels than the folders."""
    home = copy_home(made_home, tmp_path_factory.mktemp("recommendations"))
    tracks = live_tracks(Tracks.all_current(home.store)).sort("artist", "path")
    labels = {
        path: ("heads", "tails")[number % 2]
        for number, (_, paths) in enumerate(tracks.group_by("artist", maintain_order=True))
        for path in paths["path"]
    }
    table = str(write_labels(home, "coins", labels))
    few = {"min_tracks_per_class": 2, "min_groups_per_class": 2}
    make_dataset(home, "coins", labels="table", metadata=table, **few)
    encoder = home.root / "specs" / "encoders" / f"{ENCODER}.toml"
    encoder.write_text('title = "x"\nkind = "mel_statistics"\ndataset = "coins"\n')
    make(home, ENCODERS, ENCODER)
    make(home, EMBEDDINGS, f"{ENCODER}+batch-000001")
    for spec in segment_specs(home.context, ENCODER):
        home.store.produce(spec, lambda work: write_index_segment(home.store, work))
    make(home, RECOMMENDATION_INDEXES, ENCODER)
    return home


def test_the_figure_is_that_of_held_out_tracks_with_the_labels_of_the_dataset(home):
    """Counted again by hand, from the table of recommendations and that of the dataset."""
    artifact = make(home, RECOMMENDATIONS, ENCODER)
    rows = read_table(artifact.folder / TABLE)
    used = Snapshot.current(home.store, "coins").used().select("track_id", "label", "group")
    test = Snapshot.current(home.store, "coins").part("test")
    label, group = (dict(used.select("track_id", c).iter_rows()) for c in ("label", "group"))
    shares, chances = [], []
    for track_id in test["track_id"]:
        near = rows.filter(pl.col("track_id") == track_id)["recommended_id"].to_list()
        near = [i for i in near if i in group and group[i] != group[track_id]]
        others = [i for i in group if group[i] != group[track_id]]
        if near:
            shares.append(np.mean([label[i] == label[track_id] for i in near]))
            chances.append(np.mean([label[i] == label[track_id] for i in others]))
    facts = artifact.facts
    assert len(shares) == facts["held_out_tracks"] > 0
    assert facts["same_label"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert facts["same_label_by_chance"] == pytest.approx(np.mean(chances), abs=1e-4)
    assert facts["same_label_low"] <= facts["same_label"] <= facts["same_label_high"]
    assert "random tracks" in show(artifact)["agreement with labels"]
    assert {r.asset for r in artifact.record.spec.inputs} >= {"datasets", "duplicates"}


def test_tracks_that_the_encoder_has_seen_are_no_queries(home, monkeypatch):
    artifact = home.store.need("recommendations", ENCODER)
    rows = read_table(artifact.folder / TABLE)
    monkeypatch.setattr(agreement, "seen_rows", lambda *a, **_: np.ones(a[3].height, bool))
    facts = agreement.held_out_agreement(home.store, artifact.record.spec, rows)
    assert facts == {
        "no_agreement": "the training of the encoder has seen every test track, or tracks of the "
        "same groups"
    }
    assert agreement_sentence(facts).startswith("not compared with labels: the training")


def test_the_best_encoder_is_first():
    facts = [
        {"tracks": 1, "same_label": 0.9},  # of an older melgraph: its figure has training tracks
        {"same_label": 0.4, "held_out_tracks": 9},
        {"no_agreement": "there is no dataset with labels"},
        {"same_label": 0.6, "held_out_tracks": 9},
    ]
    assert [f.get("same_label") for f in sorted(facts, key=best_first)][:2] == [0.6, 0.4]
