"""A probe as an experiment: its input, its registered model, its evaluation, and its weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from melgraph.assets.library.tracks import Tracks
from melgraph.assets.materialize import describe
from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.evaluations import show
from melgraph.assets.models.studies.trials import produce_trial, trial_spec
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.models.vectors.model_inputs import VectorInputs, open_inputs
from melgraph.assets.pages.evaluations import shown_evaluation
from melgraph.assets.pages.library import Library
from melgraph.assets.remaking import remake
from melgraph.assets.stages import EMBEDDINGS, ENCODERS, EVALUATIONS, TRAINED_MODELS
from melgraph.ml.errors import UserError
from melgraph.ml.inference.tracks import embed_tracks, predict_tracks
from melgraph.ml.specs.study import StudySpec, arm_recipe, trial_of
from melgraph.pipelines.commands.run import default_experiments
from melgraph.pipelines.plan import Planner
from tests.conftest import MadeHome, copy_home, write_spec

SOURCES = ["tiny", "tiny:timbre1", "tiny:tags", "audio_features", "mel_statistics"]
STATISTICS = ["mean", "deviation"]
INPUT = {"representation": "vectors", "sources": SOURCES, "statistics": STATISTICS}
SPEC = {"title": "A tiny probe", "dataset": "genres", "model": {"architecture": "probe"},
        "training": {"epochs": 1, "augment": []}, "folds": 2}  # fmt: skip
BATCH = "batch-000001"


@pytest.fixture(scope="module")
def probed(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """A home with an experiment `tiny-probe`, trained and evaluated."""
    home = copy_home(made_home, tmp_path_factory.mktemp("probed"))
    write_spec(home.home, "experiments", "tiny-probe", **SPEC, input=INPUT)
    context = home.context
    for stage in (TRAINED_MODELS, EVALUATIONS):
        spec = stage.plan(context, "tiny-probe")
        context.store.produce(spec, lambda work, stage=stage: stage.write(context.store, work))
    return home


def test_the_vector_is_the_joined_outputs_of_its_sources(probed):
    model = TrainedModel.current(probed.store, "tiny-probe")
    inputs = open_inputs(probed.store, model.spec, model.recipe)
    assert isinstance(inputs, VectorInputs)
    table = model.snapshot.part("train").head(3)
    data = inputs.track_set(table, np.zeros(3, np.int64))
    names = inputs.extractor.names
    assert len(names) == inputs.bins == inputs.shape.bins == data.arrays[0].shape[1]
    assert [n for n in names if n.startswith("tiny: mean of tag")] == [
        f"tiny: mean of tag {tag}"
        for tag in ("genre---blues", "genre---rock", "instrument---piano")
    ]
    assert data.groups is not None
    vector = dict(zip(names, data.arrays[0][0], strict=True))
    batch, track_id = table["batch"][0], table["track_id"][0]
    (waveform,) = inputs._inputs["waveforms"].tracks([batch], [track_id])
    (features,) = inputs._inputs["audio_features"].tracks([batch], [track_id])
    (mel,) = inputs._inputs["mel_spectrograms"].tracks([batch], [track_id])
    tagger, _ = inputs.extractor._taggers["tiny"]
    for layer in ("embedding", "timbre1"):
        segments = embed_tracks(tagger, [waveform], layer=layer).segment_vectors
        expected = {"mean": segments.mean(axis=0), "deviation": segments.std(axis=0)}
        for statistic, values in expected.items():
            found = [vector[f"tiny: {statistic} of {layer} {i}"] for i in range(len(values))]
            np.testing.assert_allclose(found, values, atol=1e-5)
    assert vector["chroma_stft_mean"] == features[0, 0]
    np.testing.assert_allclose(vector["mean of mel band 5"], mel[:, 5].astype(float).mean(), 1e-4)


def test_the_record_holds_its_weights_and_its_explanation(probed):
    model = TrainedModel.current(probed.store, "tiny-probe")
    published = model.spec.config["taggers"]["tiny"]
    assert len(published["sha256"]) == 64
    assert {r.asset for r in model.spec.inputs} == {
        "datasets", "waveforms", "audio_features", "mel_spectrograms"
    }  # fmt: skip
    files = {p.relative_to(model.checkpoint_folder).as_posix()
             for p in model.checkpoint_folder.rglob("*") if p.is_file()}  # fmt: skip
    assert files == {"model.json", "model.safetensors", "taggers/tiny/model.json",
                     "taggers/tiny/model.safetensors"}  # fmt: skip
    assert "chosen by" in model.facts["notes"][0]
    rows = model.facts["explanation"]
    assert [row["name"] for row in rows] == model.classes
    for row in rows:
        assert abs(sum(row["shares"].values()) - 1) < 1e-3
        assert row["tags"] == sorted(row["tags"], key=lambda pair: -pair[1])
        assert {tag.partition(": ")[0] for tag, _ in row["tags"]} <= {"tiny"}


def test_its_licences_follow_from_the_weights(probed, tmp_path):
    sha256 = TrainedModel.current(probed.store, "tiny-probe").spec.config["taggers"]["tiny"][
        "sha256"
    ]
    expected = [{"of": "tiny", "sha256": sha256, "weights": "not stated", "data": "not stated",
                 "commercial_use": "unclear"}]  # fmt: skip
    for asset in ("trained_models", "evaluations"):
        assert probed.store.need(asset, "tiny-probe").facts["licences"] == expected
    assert "licences" not in probed.store.need("trained_models", "small-cnn").facts
    artifact = probed.store.need("evaluations", "tiny-probe")
    shown = describe(artifact, EVALUATIONS, is_new=False).metadata
    assert "not stated" in str(shown["licences of weights"])
    assert TrainedModel.current(probed.store, "tiny-probe").artifact.facts["parameters"] > 0
    audit = probed.melgraph("audit", str(artifact.folder))
    assert "licence of weights: tiny: weights not stated" in audit.stdout


def test_a_licence_that_the_toml_states_is_recorded(home_copy):
    home = home_copy()
    path = home.root / "specs" / "taggers" / "tiny.toml"
    path.write_text(path.read_text() + '[licence]\nweights = "CC0"\ncommercial_use = "allowed"\n')
    context = home.context
    for stage, name in ((ENCODERS, "tiny-tagger"), (EMBEDDINGS, f"tiny-tagger+{BATCH}")):
        spec = stage.plan(context, name)
        artifact, _ = context.store.produce(spec, lambda w, s=stage: s.write(context.store, w))
        (entry,) = artifact.facts["licences"]
        assert (entry["weights"], entry["commercial_use"]) == ("CC0", "allowed")


def test_its_evaluation_shows_what_speaks_for_each_class(probed):
    evaluation = probed.store.need("evaluations", "tiny-probe")
    assert evaluation.facts["cross_validation"]["folds"] == 2
    table = str(show(evaluation)["what speaks for each class"])
    assert all(name in table for name in TrainedModel.current(probed.store, "tiny-probe").classes)
    shown = shown_evaluation(Evaluation(probed.store, evaluation), Library([], {}))
    assert [row["class"] for row in shown["explanation"]] == [
        row["name"] for row in evaluation.facts["explanation"]
    ]


def test_the_registered_model_predicts_from_files_what_the_store_predicts(probed, tmp_path):
    from melgraph.assets.models.tracking.genre_classifier import GenreClassifier

    trained = TrainedModel.current(probed.store, "tiny-probe")
    (probed.root / "weights" / "tiny.pth").rename(tmp_path / "tiny.pth")  # it needs no other file
    try:
        classifier = GenreClassifier()
        folder = str(trained.checkpoint_folder)
        classifier.load_context(SimpleNamespace(artifacts={"checkpoint": folder}))
    finally:
        (tmp_path / "tiny.pth").rename(probed.root / "weights" / "tiny.pth")
    inputs = open_inputs(probed.store, trained.spec, trained.recipe)
    table = trained.snapshot.used().head(4)
    data = inputs.track_set(table, np.zeros(4, np.int64))
    expected = predict_tracks(trained.load()[0], data.arrays)
    predicted = classifier.predict(None, [str(probed.library / path) for path in table["path"]])
    np.testing.assert_allclose(predicted[trained.classes].to_numpy(float), expected, atol=2e-3)


def test_it_is_remade_from_its_record(probed, tmp_path):
    for asset in ("trained_models", "evaluations"):
        folder = tmp_path / asset
        folder.mkdir()
        assert remake(probed.store, probed.store.need(asset, "tiny-probe"), folder) == []


def test_other_weights_are_another_version(probed):
    before = TRAINED_MODELS.plan(probed.context, "tiny-probe")
    path = probed.root / "weights" / "tiny.pth"
    content = path.read_bytes()
    try:
        path.unlink()
        with pytest.raises(UserError, match=r"tiny\.pth' are missing"):
            TRAINED_MODELS.plan(probed.context, "tiny-probe")
        from tests.conftest import write_tiny_tagger

        write_tiny_tagger(path)
        again = TRAINED_MODELS.plan(probed.context, "tiny-probe")
        assert (again == before) == (path.read_bytes() == content)
    finally:
        path.write_bytes(content)
    assert TRAINED_MODELS.plan(probed.context, "tiny-probe") == before


def test_it_is_an_arm_of_a_study(probed):
    study = StudySpec.model_validate(
        {"title": "t", "question": "q?", "experiment": "small-cnn", "control": "probe",
         "arms": {"probe": {"input": {"representation": "vectors", "sources": ["tiny"]},
                            "training": {"augment": []},
                            "model": {"architecture": "probe"}}},
         "folds": 2, "seeds": [0]}
    )  # fmt: skip
    context = probed.context
    base = context.specs.experiments["small-cnn"].dump_for_version()
    trial = trial_of(study, study.arms["probe"], arm_recipe(study, study.arms["probe"], base))
    spec = trial_spec(context, trial, "genres", 0)
    assert set(spec.config["taggers"]) == {"tiny"}
    reader = produce_trial(context.store, spec)
    assert reader.n_trainings == 2
    assert 0 <= reader.facts["accuracy"] <= 1


def test_its_representations_are_made_by_a_run(probed):
    planner = Planner(probed.context, ["tiny-probe"])
    steps = list(planner.on_demand())
    assert {name for step in steps for name in step.assets} >= {"waveforms"}


def test_it_is_trained_by_default_where_its_weights_are_at_hand(home_copy):
    home = home_copy()
    names, note = default_experiments(home.home)
    assert names == ["small-cnn"]
    assert note is not None
    assert "probe is not trained by default" in note
    assert note.count("musicnn-jamendo") == note.count("mn04-audioset") == 1
    musicnn = home.root / "weights" / "jamendo" / "musicnn.pth"
    musicnn.parent.mkdir()
    musicnn.touch()
    names, note = default_experiments(home.home)
    assert names == ["probe-musicnn", "small-cnn"]
    assert "mn04-audioset" in str(note)
    (home.root / "weights" / "audioset").mkdir()
    (home.root / "weights" / "audioset" / "mn04.safetensors").touch()
    assert default_experiments(home.home) == (["probe", "small-cnn"], None)


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("experiments", {**SPEC, "input": {**INPUT, "sources": ["gone"]}}, "'gone' is no feature"),
        ("experiments", {**SPEC, "input": {"sources": ["tiny"]}}, "sources must be named for"),
        ("experiments", {**SPEC, "input": {"representation": "vectors"}}, "sources must be named"),
        ("experiments", {**SPEC, "input": {**INPUT, "sources": ["mel_statistics:tags"]}},
         "no output"),
        ("experiments", {**SPEC, "input": INPUT,
                         "model": {"architecture": "probe", "weights": "imagenet"}}, "no body"),
        ("encoders", {"title": "t", "extends": "small-cnn", "experiment": "probe"},
         "name one of these taggers"),
    ],
)  # fmt: skip
def test_mistakes_in_the_toml_are_named(home_copy, kind, keys, message):
    home = home_copy()
    write_spec(home.home, kind, "wrong", **keys)
    with pytest.raises(UserError, match=message):
        _ = home.context


def test_the_checkpoint_describes_its_input(probed):
    folder = TrainedModel.current(probed.store, "tiny-probe").checkpoint_folder
    described = json.loads((Path(folder) / "model.json").read_text())["meta"]["input"]
    assert described["sources"] == SOURCES
    assert set(described["transforms"]) == {"waveforms", "audio_features", "mel_spectrograms"}
    assert Tracks.current(probed.store, BATCH).good > 0
