"""The recipes that carry the names of the sources have the settings that the sources state."""

import pytest

from melgraph.ml.specs import load_specs
from melgraph.ml.specs.study import arm_recipe

SPECS = load_specs()
SHARES = {"sources-dense": (0.5, 0.5), "sources-cnn": (0.4, 0.6), "sources-conv-lstm": (0.4, 0.6),
          "sources-resnet18-amplitude": (0.8, 0.2), "sources-resnet18-phase": (0.8, 0.2),
          "sources-resnet18-both": (0.8, 0.2)}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_a_recipe_trains_as_its_source_says(name):
    """Adam at a constant rate, all epochs, the share of the tracks, and nothing that we add."""
    experiment = SPECS.experiments[name]
    dataset, training = SPECS.datasets[experiment.dataset], experiment.training
    assert (dataset.train, dataset.validation, dataset.test) == (
        SHARES[name][0], 0, SHARES[name][1]
    )  # fmt: skip
    epochs, batch, rate = (500, 16, 1e-3) if "resnet18" in name else (100, 32, 1e-4)
    assert (training.epochs, training.batch_size, training.learning_rate) == (epochs, batch, rate)
    assert training.patience == training.epochs  # never stops early
    assert (training.schedule, training.warmup, training.weight_decay) == ("constant", 0, 0)
    assert (training.label_smoothing, training.class_balance, training.augment) == (0, 0, ())
    assert training.drop == 0
    assert not experiment.by_default


@pytest.mark.parametrize(("part", "channels"), [("amplitude", 1), ("phase", 2), ("both", 3)])
def test_the_images_are_those_of_the_source(part, channels):
    experiment = SPECS.experiments[f"sources-resnet18-{part}"]
    assert (experiment.input.crop_s, experiment.input.image) == (10.0, 512)
    assert experiment.input.n_channels == channels
    assert experiment.training.crops_per_track == 3


def test_the_networks_are_those_of_the_source():
    networks = {name: SPECS.experiments[name].model.architecture for name in SHARES}
    assert networks["sources-dense"] == "dense"
    assert networks["sources-cnn"] == "mfcc_cnn"
    assert networks["sources-conv-lstm"] == "conv_lstm"
    assert SPECS.experiments["sources-cnn"].input.representation == "mfcc"
    mel = SPECS.experiments["sources-mel-cnn"].training
    assert (mel.epochs, mel.patience) == (80, 80)


def test_the_study_of_dense_has_all_settings_of_the_source():
    study = SPECS.studies["sources-dense"]
    base = SPECS.experiments[study.experiment].model_dump()
    settings = set()
    for arm in study.arms.values():
        training = arm_recipe(study, arm, base)["training"]
        settings.add((arm.train, training["epochs"], training["batch_size"]))
    assert study.split == "holdout"
    assert settings == {
        (share, epochs, batch)
        for share in (0.5, 0.7)
        for epochs in (20, 50, 100)
        for batch in (16, 32, 64)
    }


def test_every_arm_of_the_crops_study_has_as_many_crops_in_a_batch():
    """Batch norm estimates its statistics over a batch: 30 crops cannot be compared with 3."""
    study = SPECS.studies["crops"]
    base = SPECS.experiments[study.experiment].model_dump()
    trainings = [arm_recipe(study, arm, base)["training"] for arm in study.arms.values()]
    assert {training["batch_size"] for training in trainings} == {16}
    same = [t for name, t in zip(study.arms, trainings, strict=True) if "seconds" not in name]
    assert len({(t["crops_per_track"], t["epochs"]) for t in same}) == 1
    assert len(same) == 5
