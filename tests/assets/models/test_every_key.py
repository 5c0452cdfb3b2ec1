"""Every key of an experiment reaches the network, wherever a network is trained or used.

One experiment differs from the defaults in all of its keys. Its network is observed where it is
trained (the experiment itself, the folds of its cross-validation, a trial of a study), and where
it predicts (the evaluation, the folds, the trial, the tags of a library, MLflow, dreams). A new key
of the specification makes the first test fail until it is observed here.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.generation import sounds
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.models.studies.reports import arm_trials
from melgraph.assets.models.studies.trials import produce_trial, trial_spec
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.stages import EMBEDDINGS, ENCODERS, TAGS
from melgraph.ml import models
from melgraph.ml.inference import tagging, tracks
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.specs.experiment import ExperimentSpec, ModelSpec
from melgraph.ml.specs.model_input import InputSpec
from melgraph.ml.specs.study import StudySpec
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training import fitting
from melgraph.ml.weights import checkpoints
from melgraph.storage.tables import read_table
from tests.assets.models.trainings import evaluate, make, train, write_experiment
from tests.conftest import MadeHome, copy_home

OPTIONS = {"channels": [4, 8], "embedding_dim": 8}
INPUT = {"representation": "mel_spectrograms", "crop_s": 0.7}
TRAINING = {"epochs": 1, "crops_per_track": 1, "batch_size": 7, "learning_rate": 0.004,
            "augment": ["mixup"], "label_smoothing": 0.2, "class_balance": 0.5}  # fmt: skip
EXPERIMENT = {
    "dataset": "genres",
    "input": INPUT,
    "model": {"architecture": "small_cnn", "options": OPTIONS, "weights": "body"},
    "aggregate": "vote",
    "by_default": False,
    "folds": 3,
    "training": TRAINING,
    "seed": 11,
}
# What a network is observed for; the others decide which tracks, how often, or are for people.
OBSERVED = {"input", "model", "aggregate", "folds", "training", "seed"}


def test_no_key_is_forgotten_here():
    not_of_the_network = {"title", "dataset", "by_default", "fallback_for"}
    assert set(ExperimentSpec.model_fields) == OBSERVED | not_of_the_network
    assert set(ModelSpec.model_fields) == {*EXPERIMENT["model"], "weights_licence"}


@dataclass
class Observed:
    """The networks that were trained, and how the predictions of segments were combined."""

    networks: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[InputSpec] = field(default_factory=list)
    aggregates: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def home(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """A home with a trained body, and the experiment that starts from it."""
    home = copy_home(made_home, tmp_path_factory.mktemp("keys"))
    body = {"architecture": "small_cnn", "options": OPTIONS}
    quick = {"epochs": 1, "crops_per_track": 1}
    write_experiment(
        home, "body", dataset="genres", model=body, input=INPUT, training=quick, folds=0
    )
    train(home, "body")
    write_experiment(home, "whole", **EXPERIMENT)
    return home


@pytest.fixture
def observed(monkeypatch) -> Observed:
    seen = Observed()
    really_train, really_combine = fitting.train, tracks.combine_segments
    really_take = TrackInputs.track_set

    def train_observed(model, setup, **options):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        seen.networks.append(
            {"model": model, "state": state, "config": setup.config, "seed": setup.seed}
        )
        return really_train(model, setup, **options)

    def combine(sums, votes, counts, aggregate):
        seen.aggregates.append(aggregate)
        return really_combine(sums, votes, counts, aggregate)

    def take(self, *arguments):
        seen.inputs.append(self.how)
        return really_take(self, *arguments)

    monkeypatch.setattr(fitting, "train", train_observed)
    monkeypatch.setattr(tracks, "combine_segments", combine)
    monkeypatch.setattr(tagging, "combine_segments", combine)
    monkeypatch.setattr(TrackInputs, "track_set", take)
    return seen


def assert_every_key(home: MadeHome, seen: Observed, *, networks: int, seed: int = 11) -> None:
    """The networks were built and trained as the experiment says, and their segments voted."""
    body = TrainedModel.current(home.store, "body").load()[0].state_dict()
    spec = ExperimentSpec.model_validate({"title": "x", **EXPERIMENT})
    assert len(seen.networks) == networks
    for number, network in enumerate(seen.networks):
        model = network["model"]
        assert (model.architecture, model.aggregate) == ("small_cnn", "vote")
        assert model.options == OPTIONS | {
            k: v for k, v in model.options.items() if k not in OPTIONS
        }
        random = models.build("small_cnn", model.shape, n_classes=3, seed=seed, **OPTIONS)
        for name, value in network["state"].items():
            if name in ("mean", "std"):
                continue
            expected = random.state_dict() if name.startswith("head.") else body
            assert torch.equal(value, expected[name]), name
        assert network["config"] == TrainingConfig.model_validate(spec.training.model_dump())
        assert network["seed"] == seed + (number if networks > 1 else 0)
        seconds = model.shape.frames / body_frames_per_second(home)
        assert seconds == pytest.approx(INPUT["crop_s"], abs=0.02)
    assert set(seen.inputs) == {spec.input}
    assert set(seen.aggregates) == {"vote"}


def body_frames_per_second(home: MadeHome) -> float:
    artifact = home.store.need("mel_spectrograms", "batch-000001")
    return TrackInputs([artifact]).frames_per_second


def test_training(home, observed):
    model = train(home, "whole")
    assert_every_key(home, observed, networks=1)
    network, meta = TrainedModel(home.store, model).load()
    assert (network.aggregate, meta["aggregate"]) == ("vote", "vote")


def test_evaluation_and_cross_validation(home, observed, monkeypatch):
    train(home, "whole")
    observed.networks.clear()
    from melgraph.assets.models import evaluations

    monkeypatch.setattr(
        evaluations, "seen_rows", lambda *a, **_: np.zeros(a[3].height, bool)
    )  # so that every fold predicts something, although the body was trained on the same tracks
    evaluation = evaluate(home, "whole")
    assert evaluation.facts["cross_validation"]["folds"] == 3
    assert_every_key(home, observed, networks=3)


def test_a_trial_of_a_study(home, observed):
    study = StudySpec.model_validate(
        {"title": "x", "question": "?", "experiment": "whole", "control": "same", "seeds": [5],
         "split": "dataset", "arms": {"same": {}}}
    )  # fmt: skip
    ((trial, dataset),) = arm_trials(home.context.specs, study).values()
    produce_trial(home.store, trial_spec(home.context, trial, dataset, 5))
    assert_every_key(home, observed, networks=1, seed=5)


def test_tags_mlflow_and_dreams_predict_as_the_evaluation_does(home, observed, tmp_path):
    from melgraph.assets.models.tracking.genre_classifier import GenreClassifier

    trained = TrainedModel(home.store, train(home, "whole"))
    model, meta = trained.load()
    disagreeing = unlike_votes(model)
    checkpoints.save(tmp_path / "checkpoint", disagreeing, meta)
    observed.aggregates.clear()
    encoder = home.root / "specs" / "encoders" / "whole.toml"
    encoder.write_text('title = "x"\nkind = "experiment"\nexperiment = "whole"\n')
    make(home, ENCODERS, "whole")
    batch = make(home, EMBEDDINGS, "whole+batch-000001")
    table = read_table(make(home, TAGS, "whole+batch-000001").folder / "tags.parquet")
    assert Encoder.current(home.store, "whole").network().aggregate == "vote"
    assert set(observed.aggregates) == {"vote"}
    assert table.height == batch.facts["tracks"]

    artifact = home.store.need("mel_spectrograms", "batch-000001")
    inputs = TrackInputs([artifact], InputSpec.model_validate(INPUT))
    (array,) = inputs.tracks(["batch-000001"], inputs.track_ids("batch-000001")[:1])
    loaded, _ = checkpoints.load(tmp_path / "checkpoint")
    (by_vote,), (by_mean,) = (
        predict_tracks(loaded, [array], aggregate=aggregate) for aggregate in ("vote", "mean")
    )
    assert np.abs(by_vote - by_mean).max() > 0.01
    dream = sounds._predict(loaded, meta, np.asarray(array))
    assert dream["probability"] == pytest.approx(float(by_vote.max()), abs=1e-4)
    classifier = GenreClassifier()
    classifier.load_context(SimpleNamespace(artifacts={"checkpoint": str(tmp_path / "checkpoint")}))
    song = next(p for p in home.library.rglob("*.flac") if p.name[0] != ".")
    observed.aggregates.clear()
    classifier.predict(None, [str(song)])
    assert observed.aggregates == ["vote"]


def unlike_votes(model):
    """The network with weights under which a vote of the segments differs from their mean."""
    with torch.no_grad():
        model.head.weight.mul_(0.1)  # segments are unsure, and agree
    return model
