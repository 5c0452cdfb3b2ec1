"""No held-out track was seen by the initial weights: studies, evaluations, folds and chains.

The library is adversarial: its labels are random, one for each artist, so nothing can be learned
about an artist that was not trained on. A body that memorised the labels of the held-out tracks
would nevertheless win a study.
"""

import numpy as np
import polars as pl
import pytest
import safetensors.torch

from melgraph.assets.dataset.joint_groups import joint_groups
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.models import evaluations, seen_tracks, trained_models
from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.seen_tracks import USED, seen_rows
from melgraph.assets.models.studies import trials
from melgraph.assets.models.studies.reports import run_arms, study_spec, write_study_report
from melgraph.assets.remaking import remake
from melgraph.assets.stages import TRAINED_MODELS
from melgraph.ml.errors import UserError
from melgraph.ml.specs.study import StudySpec
from tests.assets.models.trainings import (
    evaluate,
    make_dataset,
    train,
    write_experiment,
    write_labels,
)
from tests.conftest import MadeHome, copy_home

FEATURES = {"representation": "audio_features"}  # tabular, so that a training takes a second
DENSE = {"architecture": "dense", "options": {"widths": [64, 32], "dropout": 0.0}}
QUICK = {"epochs": 2, "crops_per_track": 1, "batch_size": 8, "augment": []}
MEMORISE = QUICK | {"epochs": 60, "learning_rate": 0.003, "label_smoothing": 0.0}
SMALL_CLASSES = {"min_tracks_per_class": 2, "min_groups_per_class": 2}


@pytest.fixture(scope="module")
def home(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """A home with random labels by artist, a body that memorised them, and two datasets."""
    home = copy_home(made_home, tmp_path_factory.mktemp("leaks"))
    tracks = live_tracks(Tracks.all_current(home.store))
    styles = tracks.group_by(style=pl.col("path").str.split("/").list.first()).agg(
        pl.col("artist").unique().sort()
    )  # half of the artists of each style, so that the style says nothing about the label
    coin = {artist: n % 2 for names in styles["artist"] for n, artist in enumerate(names)}
    by_path = dict(tracks.select("path", "artist").iter_rows())
    labels = {path: ("heads", "tails")[coin[artist]] for path, artist in by_path.items()}
    table = write_labels(home, "coins", labels)
    coins = {"labels": "table", "metadata": str(table), **SMALL_CLASSES}
    make_dataset(home, "coins", **coins)
    snapshot = Snapshot.current(home.store, "coins")
    known = pl.concat(snapshot.part(part) for part in USED)["path"]
    listed = write_labels(home, "known", {path: labels[path] for path in known})
    make_dataset(home, "known", **coins | {"metadata": str(listed)})
    # the first and the second tracks of the same artists: no track in common, all artists
    for name, start in (("first", "01"), ("second", "02")):
        some = {p: label for p, label in labels.items() if p.split("/")[-1].startswith(start)}
        listed = coins | {"metadata": str(write_labels(home, name, some))}
        make_dataset(home, name, **listed)
    draw_until_half_seen(home, listed)
    experiment(home, "firsts", dataset="first")
    experiment(home, "body", training=MEMORISE)
    train(home, "firsts")
    with pytest.MonkeyPatch.context() as patch:  # no validation track stops it from memorising
        patch.setattr(trained_models, "_validation_set", lambda *_: (None, []))
        train(home, "body")
    return home


def draw_until_half_seen(home: MadeHome, keys: dict[str, object]) -> None:
    """Split `second` by other seeds until `first` has seen some of its test tracks, not all."""
    first = Snapshot.current(home.store, "first")
    known = {name for part in USED for name in first.part(part)["artist"]}
    for seed in range(50):
        make_dataset(home, "second", **keys, seed=seed)
        test = set(Snapshot.current(home.store, "second").part("test")["artist"])
        if 0 < len(test & known) < len(test):
            return
    pytest.fail("no split of 50 has a test part of which some was seen")


def experiment(home: MadeHome, name: str, weights: str = "none", **keys: object) -> None:
    """Write the TOML file of an experiment on tabular features."""
    common = {"dataset": "coins", "folds": 0, "input": FEATURES, "training": QUICK}
    write_experiment(home, name, model=DENSE | {"weights": weights}, **common | keys)


def study(**arms: dict) -> StudySpec:
    return StudySpec.model_validate(
        {
            "title": "x", "question": "Do these weights help?", "experiment": "body",
            "control": "scratch", "seeds": [0], "folds": 3,
            "training": MEMORISE | {"epochs": 10},
            "arms": {"scratch": {}, **arms},
        }
    )  # fmt: skip


LEAK = {"model": {"weights": "body"}}


def answer(home: MadeHome, spec: StudySpec):
    """The facts of the report of a study, and the trial of the arm that starts from the body."""
    repeats, not_measured = run_arms(home.context, spec)
    report_spec = study_spec("leak", spec, repeats, not_measured)
    report, _ = home.store.produce(report_spec, lambda work: write_study_report(home.store, work))
    return report.facts, repeats


def test_a_study_cannot_win_through_a_body_that_memorised_the_tracks(home):
    facts, repeats = answer(home, study(leak=LEAK))
    (trial,) = repeats["leak"]
    snapshot = Snapshot.input_of(home.store, trial.spec)
    predicted = trial.correct().filter(pl.col("right").is_not_null())
    body_groups = {*snapshot.part("train")["group"], *snapshot.part("validation")["group"]}
    assert predicted.height
    assert body_groups.isdisjoint(predicted["group"])
    assert set(predicted["track_id"]) == set(snapshot.track_ids("test"))
    row = next(row for row in facts["arms"] if row["arm"] == "leak")
    assert row["n"] == predicted.height < snapshot.used().height
    assert row["p_holm"] >= 0.05
    (note,) = (note for note in facts["notes"] if "left out" in note)
    left_out = snapshot.used().height - predicted.height
    assert note == (
        f"{left_out} of {snapshot.used().height} held-out tracks are left out: the initial "
        "weights, those of body, were trained on them or on tracks of the same groups"
    )


def test_the_body_would_win_if_its_tracks_were_held_out(home, tmp_path, monkeypatch):
    """The attack works: without the rule, the accuracy on random labels is far above chance."""
    home = copy_home(home, tmp_path)
    monkeypatch.setattr(trials, "seen_rows", lambda *a, **_: np.zeros(a[3].height, bool))
    spec = study(leak=LEAK).model_copy(update={"seeds": (1,)})
    facts, _ = answer(home, spec)
    scratch, leak = (
        next(r for r in facts["arms"] if r["arm"] == name) for name in ("scratch", "leak")
    )
    assert leak["accuracy"] > 0.65
    assert leak["accuracy"] - scratch["accuracy"] > 0.1


def test_an_arm_whose_weights_saw_every_track_is_refused(home):
    spec = study(leak=LEAK | {"dataset": "known"})
    repeats, not_measured = run_arms(home.context, spec)
    assert "leak" not in repeats
    assert "trained on every track that would be held out" in not_measured["leak"]


def test_tracks_of_the_same_artist_count_as_seen_in_another_dataset(home):
    """`first` and `second` share no track, but all artists."""
    first, second = (Snapshot.current(home.store, name) for name in ("first", "second"))
    assert set(first.used()["track_id"]).isdisjoint(second.used()["track_id"])
    model = home.store.need("trained_models", "firsts").reference
    table = second.used()
    seen = seen_rows(home.store, [model], second, table, own_split=True)
    artists_of = dict(first.table().select("track_id", "artist").iter_rows())
    used = [track_id for part in USED for track_id in first.track_ids(part)]
    seen_artists = {artists_of[track_id] for track_id in used}
    assert seen.tolist() == table["artist"].is_in(list(seen_artists)).to_list()
    assert 0 < seen.sum() < len(seen)


def test_collections_apart_are_joined_by_artist(home):
    """Two snapshots of different folders share no row; the rules apply to both together."""
    for name in ("blues", "country"):
        make_dataset(home, f"only-{name}", labels="none", collection=f"{name}/")
    one, other = (Snapshot.current(home.store, f"only-{n}") for n in ("blues", "country"))
    ids = [s.table()["track_id"].to_list() for s in (one, other)]
    groups = joint_groups([one, other])
    assert {groups[i] for i in ids[0]}.isdisjoint(groups[i] for i in ids[1])
    name = one.table()["artist"][0].upper()
    table = other.table().with_columns(artists=pl.lit([name], dtype=pl.List(pl.String)))
    renamed = type("Renamed", (), {"table": lambda _: table, "__getattr__": lambda _, n:
                                   getattr(other, n)})()  # fmt: skip
    joined = joint_groups([one, renamed])
    assert {joined[i] for i in ids[1]} == {joined[ids[0][0]]}


def test_an_evaluation_leaves_out_what_the_initial_weights_saw(home):
    experiment(home, "fine", "firsts", dataset="second")
    model = train(home, "fine")
    second = Snapshot.current(home.store, "second")
    test = second.part("test")
    seen = seen_rows(home.store, model.record.spec.inputs, second, test, own_split=True)
    assert 0 < seen.sum() < test.height
    evaluation = Evaluation(home.store, evaluate(home, "fine"))
    assert (
        evaluation.predictions()["track_id"].to_list() == test.filter(~seen)["track_id"].to_list()
    )
    caution = (
        f"{seen.sum()} of {test.height} test tracks are left out: the initial weights, those of "
        "firsts, were trained on them or on tracks of the same groups"
    )
    assert caution in evaluations.sentence(evaluation.facts)


def test_an_experiment_whose_test_tracks_were_all_seen_is_refused_before_it_trains(home):
    experiment(home, "cheat", "body", dataset="known")
    refusal = "'body', were trained on every test track of 'known'"
    with pytest.raises(UserError, match=refusal) as caught:
        TRAINED_MODELS.plan(home.context, "cheat")
    assert caught.value.where == "experiment cheat: model.weights"
    assert "melgraph run --experiment body" in caught.value.remedy


def test_the_records_are_walked_through_chains_of_initial_weights(home):
    """`middle` starts from `firsts`: what `firsts` saw, `middle` has seen too."""
    experiment(home, "middle", "firsts")
    middle = train(home, "middle")
    second = Snapshot.current(home.store, "second")
    snapshots = seen_tracks.training_snapshots(home.store, [middle.reference])
    assert {s.partition for s in snapshots} == {"coins", "first"}
    direct, through = (
        seen_rows(home.store, [home.store.need("trained_models", name).reference], second,
                  second.used(), own_split=True)
        for name in ("firsts", "middle")
    )  # fmt: skip
    assert (through | direct).tolist() == through.tolist()


def test_the_own_split_of_a_snapshot_keeps_its_training_tracks_apart(home):
    """A model that starts from one on the same snapshot loses no test track."""
    coins = Snapshot.current(home.store, "coins")
    body = home.store.need("trained_models", "body").reference
    test = coins.part("test")
    assert not seen_rows(home.store, [body], coins, test, own_split=True).any()
    assert seen_rows(home.store, [body], coins, coins.used(), own_split=False).sum() > 0


def test_weights_without_records_pass_and_are_said_to_be_unknown(home, tmp_path):
    body = home.store.need("trained_models", "body")
    copied = tmp_path / "body.safetensors"
    source = body.folder / "checkpoint" / "model.safetensors"
    tensors = safetensors.torch.load_file(source)
    safetensors.torch.save_file({n: t + 0.0001 for n, t in tensors.items()}, copied)
    experiment(home, "from-file", str(copied))
    note = "it is not known on which tracks the initial weights"
    assert any(n.startswith(note) for n in train(home, "from-file").facts["notes"])
    assert note in evaluate(home, "from-file").facts["caution"]
    # and what starts from this model follows from the same unknown weights
    later = TRAINED_MODELS.spec("x", (home.store.need("trained_models", "from-file").reference,),
                                {"model": {"weights": "from-file"}})  # fmt: skip
    assert seen_tracks.unknown_origins(home.store, later) == [str(copied)]


@pytest.mark.parametrize("where", ["in the home", "copied"])
def test_a_checkpoint_of_this_home_is_named_by_its_experiment(home, tmp_path, where):
    path = home.store.need("trained_models", "body").folder / "checkpoint" / "model.safetensors"
    if where == "copied":
        (tmp_path / "mine.safetensors").write_bytes(path.read_bytes())
        path = tmp_path / "mine.safetensors"
    experiment(home, "by-path", str(path))
    with pytest.raises(UserError, match="a file of the experiment 'body'") as caught:
        TRAINED_MODELS.plan(home.context, "by-path")
    assert caught.value.remedy == 'set weights = "body"'


def test_cross_validation_predicts_unseen_tracks_only(home):
    experiment(home, "folded", "body", folds=2)
    train(home, "folded")
    evaluation = evaluate(home, "folded")
    folds = evaluation.facts["cross_validation"]
    coins = Snapshot.current(home.store, "coins")
    assert evaluation.facts["small_sample"]
    assert folds["n"] == coins.part("test").height
    assert "NaN" not in (evaluation.folder / "fold_report.json").read_text()


def test_an_evaluation_is_remade_from_its_record_alone(home, tmp_path):
    assert remake(home.store, home.store.need("evaluations", "fine"), tmp_path) == []


def test_specs_of_random_weights_are_as_before(home):
    """The configuration of an experiment without initial weights has no new key."""
    experiment(home, "plain")
    assert "held_out" not in TRAINED_MODELS.plan(home.context, "plain").config
    assert "held_out" in home.store.need("trained_models", "fine").record.spec.config
