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
from melgraph.assets.recommendations.lists import TABLE
from melgraph.assets.recommendations.recommendations import show
from melgraph.assets.stages import EMBEDDINGS, ENCODERS, RECOMMENDATION_INDEXES, RECOMMENDATIONS
from melgraph.storage.tables import read_table
from tests.assets.models.trainings import make, make_dataset, write_labels
from tests.conftest import MadeHome, copy_home

ENCODER = "mel-coins"


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
