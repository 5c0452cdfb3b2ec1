"""The training of generative models: which recordings, what is written, interruptions, refusals."""

import json
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.generation.models import generative_models
from melgraph.assets.generation.models.generative_model import (
    CHECKPOINT,
    LEARNED,
    VALIDATED,
    GenerativeModel,
)
from melgraph.assets.stages import DATASETS
from melgraph.ml.errors import UserError
from melgraph.ml.generative import base, kinds
from melgraph.storage.artifacts import Work, file_digests
from tests.conftest import GENERATIVE_MODELS, write_spec

each_model = pytest.mark.parametrize("name", GENERATIVE_MODELS)


@each_model
def test_it_learns_only_from_the_train_side(made_home, name):
    model = GenerativeModel.current(made_home.store, name)
    splits = dict(model.snapshot.table().select("track_id", "split").iter_rows())
    assert {splits[track] for track in model.recordings["track_id"]} == {"train"}
    groups = {
        part: set(model.recordings.filter(pl.col("part") == part)["group"])
        for part in (LEARNED, VALIDATED)
    }
    assert not groups[LEARNED] & groups[VALIDATED]
    for row in model.facts["recordings"]:
        assert row[LEARNED] >= 1
        assert row[VALIDATED] >= 1


@each_model
def test_each_epoch_has_figures_samples_and_a_sheet(made_home, name):
    model = GenerativeModel.current(made_home.store, name)
    assert model.curves["epoch"].to_list() == [1, 2]
    assert {"train_loss", "validation_loss"} <= set(model.curves.columns)
    assert "seconds" not in model.curves.columns
    assert model.sheets == ["epoch-001.png", "epoch-002.png"]
    values = model.samples()["values"]
    assert values.shape[0] == 2
    assert np.isfinite(values.astype(np.float32)).all()
    assert model.mlflow_run is not None


@each_model
def test_an_interrupted_training_resumes_with_the_same_bytes(
    made_home, name, tmp_path, monkeypatch
):
    model = GenerativeModel.current(made_home.store, name)
    trainer, steps, all_steps = kinds.trainer_of(model.kind), [], []
    step = trainer.step

    def count_step(self, number):
        all_steps[:] = list(range(self.steps_per_epoch)) * self.setup.epochs
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        steps.append(number)
        return step(self, number)

    def train(folder: str) -> Work:
        (tmp_path / folder).mkdir()
        work = Work(model.spec, tmp_path / folder)
        generative_models.write_generative_model(made_home.store, work, state=tmp_path / "state")
        return work

    monkeypatch.setattr(trainer, "step", count_step)
    monkeypatch.setattr(base, "GenerativeSetup", partial(base.GenerativeSetup, save_every_s=0.0))
    stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        train("first")
    assert list((tmp_path / "state").iterdir())
    stop_at = None
    again = train("again")
    assert len(all_steps) > 3
    assert steps == all_steps  # of both runs together: no step is computed twice
    assert file_digests(again.folder) == dict(model.artifact.record.files)


def planned(home, *, genres=("blues", "classical"), dataset="genres"):
    """Plan a CycleGAN of the home with other keys."""
    folder = home.home.specs / "generative_models"
    keys = {"title": "x", "kind": "cyclegan", "dataset": dataset, "genres": list(genres)}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    (folder / "odd.toml").write_text(text)
    return generative_models.plan_generative_model(Context.open(home.home), "odd")


def test_a_genre_that_the_dataset_lacks(home_copy):
    with pytest.raises(UserError, match="has no genre 'polka'") as caught:
        planned(home_copy(), genres=["blues", "polka"])
    assert "blues, classical, country" in caught.value.remedy


def test_too_few_recordings_say_how_many_are_needed(home_copy, monkeypatch):
    monkeypatch.setattr("melgraph.ml.generative.set_aside.MIN_RECORDINGS", 5)
    with pytest.raises(UserError, match="'blues' 4, 'classical' 4; each genre needs 5"):
        planned(home_copy())


def make_dataset(home, name, **keys):
    """Specify a dataset of the library and make its snapshot."""
    write_spec(home.home, "datasets", name, title="x", **keys)
    spec = DATASETS.plan(home.context, name)
    home.store.produce(spec, lambda work: DATASETS.write(home.store, work))


def test_a_dataset_without_genres(home_copy):
    home = home_copy()
    make_dataset(home, "plain", labels="none")
    with pytest.raises(UserError, match=r"\'plain\' cannot be learned from: .* has no labels"):
        planned(home, dataset="plain")


def test_a_dataset_of_several_labels_for_each_track(home_copy):
    home = home_copy()
    make_dataset(home, "several", labels="tag", multi_label=True)
    with pytest.raises(UserError, match="the tracks of 'several' have several labels"):
        planned(home, dataset="several")


def test_a_checkpoint_that_was_altered_or_is_of_another_kind(home_copy):
    home = home_copy()
    model = GenerativeModel.current(home.store, "tiny-gan")
    with pytest.raises(UserError, match="of the kind 'cyclegan', and 'rectified_flow' is needed"):
        model.load("rectified_flow")
    description = model.artifact.folder / CHECKPOINT / "model.json"
    wrong = json.loads(description.read_text())
    wrong["options"] |= {"width": 4}
    description.write_text(json.dumps(wrong))
    with pytest.raises(UserError, match="of another architecture"):
        model.load()
    weights = model.artifact.folder / CHECKPOINT / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match="SHA-256"):
        model.load()
    weights.unlink()
    with pytest.raises(UserError, match=r"has no model\.safetensors"):
        model.load()


def test_mlflow_has_the_sheets_and_the_losses_of_each_epoch(made_home):
    from mlflow import MlflowClient

    from melgraph.assets.models.tracking.tracker import Tracker

    client = MlflowClient(Tracker().uri(made_home.home))
    run = GenerativeModel.current(made_home.store, "tiny-gan").mlflow_run
    losses = client.get_metric_history(run, "curve/train_loss")
    assert [metric.step for metric in losses] == [1, 2]
    datasets = [one.dataset.name for one in client.get_run(run).inputs.dataset_inputs]
    assert datasets == ["genres/train"]
    names = {file.path for file in client.list_artifacts(run, "samples")}
    assert names == {"samples/epoch-001.png", "samples/epoch-002.png"}


def test_the_evaluation_says_what_was_measured(made_home):
    from melgraph.assets.generation.models.generative_evaluations import GenerativeEvaluation

    for name in GENERATIVE_MODELS:
        evaluation = GenerativeEvaluation.current(made_home.store, name)
        assert evaluation.pictures[0] == "progress.png"
        assert evaluation.sentences[0].startswith("The validation loss")
        assert any(
            "The distance (KAD) to held-out recordings is undetermined for" in text
            for text in evaluation.sentences
        )
    flow = GenerativeEvaluation.current(made_home.store, "tiny-flow").facts["memorisation"]
    assert flow["samples"] == 18
    assert flow["held_out_crops"] == 24
    own = GenerativeEvaluation.current(made_home.store, "tiny-recreation").facts
    assert own["reclassification"]["songs"] == 12


def test_the_validation_loss_of_nearly_equal_epochs_did_not_fall():
    from types import SimpleNamespace

    from melgraph.assets.generation.models.progress import loss_sentence

    facts = {
        "validation_loss_first": 2.0,
        "validation_loss_last": 1.99,
        "validation_loss_lowest": 1.99,
        "recordings": [],
    }
    model = cast(Any, SimpleNamespace(facts=facts, kind="recreation"))
    assert "did not fall" in loss_sentence(model)
    facts["validation_loss_last"] = 1.97
    assert "The validation loss fell" in loss_sentence(model)


def test_the_embedding_is_no_part_of_the_version(made_home):
    context = made_home.context
    model = context.specs.generative_models["tiny-gan"]
    other = model.model_copy(update={"embedding": "mn04-audioset"})
    specs = context.specs.model_copy(
        update={"generative_models": {**context.specs.generative_models, "tiny-gan": other}}
    )
    plan = generative_models.plan_generative_model
    assert plan(replace(context, specs=specs), "tiny-gan") == plan(context, "tiny-gan")


def test_genres_with_few_and_with_enough_references_are_shown_in_one_table():
    from melgraph.assets.generation.models.progress import _Side
    from melgraph.assets.ui import markdown_table

    rng = np.random.default_rng(0)
    reference, samples = ([rng.normal(size=(1, 3)) for _ in range(n)] for n in (25, 6))
    songs = [f"song {number}" for number in range(6)]
    sides = [_Side(reference, list(range(6))), _Side(reference[:5], [0, 1]), _Side([], [])]
    for rows in (
        [side.change(samples, samples, songs) for side in sides],
        [side.distance(samples, songs) for side in sides],
    ):
        assert {tuple(row) for row in rows} == {tuple(rows[0])}
        assert markdown_table(rows)
    assert sides[0].distance(samples, songs)["kad"] is not None
    assert sides[0].change(samples, samples, songs)["change"] == 0
    assert sides[1].change(samples, samples, songs)["change"] is None


def test_the_real_crops_beside_the_samples(made_home):
    """Those that a CycleGAN moves are of the other genre: real crops of the genre are others."""
    from melgraph.assets.generation.models.rendering import SampleRenderer

    for name in GENERATIVE_MODELS:
        renderer = SampleRenderer(GenerativeModel.current(made_home.store, name))
        sounds, originals = list(renderer.of_epoch(2)), list(renderer.originals())
        assert len(sounds) == len(originals) == len(renderer.genres) == len(renderer.songs)
        assert {rate for _, rate in sounds} == {rate for _, rate in originals}
        assert [len(mono) for mono, _ in sounds] == [len(mono) for mono, _ in originals]
        labels = dict(renderer.model.snapshot.table().select("track_id", "label").iter_rows())
        own = [labels[song] for song in renderer.songs_of_originals]
        assert own == renderer.genres_of_originals
        if name == "tiny-gan":
            assert all(a != b for a, b in zip(own, renderer.genres, strict=True))
        if name == "tiny-recreation":
            assert own == renderer.genres


def test_an_evaluation_is_a_look_at_the_test_split(made_home):
    from melgraph.storage.test_reads import list_test_reads

    readers = {read.reader.split("/")[1] for read in list_test_reads(made_home.home)
               if read.kind == "generative model"}  # fmt: skip
    assert readers == set(GENERATIVE_MODELS)


def test_without_the_weights_of_the_tagger_there_are_no_distances(home_copy, tmp_path):
    from melgraph.assets.generation.models import generative_evaluations
    from melgraph.assets.generation.models.generative_evaluations import GenerativeEvaluation

    home = home_copy()
    (home.home.root / "weights" / "tiny.pth").unlink()
    spec = generative_evaluations.plan_generative_evaluation(home.context, "tiny-gan")
    artifact, _ = home.store.produce(
        spec, lambda work: generative_evaluations.write_generative_evaluation(home.store, work)
    )
    evaluation = GenerativeEvaluation(home.store, artifact)
    first, absent = evaluation.sentences
    assert first.startswith("The validation loss")
    assert "not computed, because the weights of the tagger tiny are not on this machine" in absent
    assert evaluation.distances().is_empty()
    assert "changes of the distance" not in generative_evaluations.show(artifact)


def test_without_held_out_recordings_memorisation_is_not_measured(made_home):
    from melgraph.assets.generation.models.memorisation import memorisation

    model = GenerativeModel.current(made_home.store, "tiny-flow")
    spec = made_home.store.need("generative_evaluations", "tiny-flow").record.spec
    nothing = model.snapshot.table().clear()
    work = Work(spec, made_home.root)  # nothing is written
    facts, sentences = memorisation(made_home.store, work, model, nothing)
    assert facts == {}
    assert "no recording of these genres is held out" in sentences[0]
