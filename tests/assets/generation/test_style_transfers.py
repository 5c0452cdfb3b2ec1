"""The asset `style_transfers`: guides, weights in the configuration, figures and refusals."""

import hashlib
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from safetensors.torch import save_file

from melgraph.assets.context import Context
from melgraph.assets.generation import style_transfers
from melgraph.assets.generation.selection import Selection
from melgraph.assets.generation.sources import Source
from melgraph.assets.generation.style_transfers import figures, plan_style_transfers, sound_rows
from melgraph.ml.errors import UserError
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.generation.style.features import random_features
from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig
from melgraph.ml.spectral import StftTransform
from melgraph.ml.weights import feature_weights
from melgraph.ml.weights.feature_weights import VGG_FILES, Vgg, WeightsFile
from melgraph.storage.records import Spec

RATE = 22050
NETWORK = random_features(
    filters=8, width=5, seed=0, transform=StftTransform(sample_rate=RATE, n_fft=256, hop=64)
)
TRACKS = pl.DataFrame(
    [
        {"track_id": f"{i:02d}", "path": f"{i}.wav", "label": label, "group": group, "split": split}
        for i, (label, group, split) in enumerate(
            [
                ("blues", 0, "test"),
                ("blues", 1, "test"),
                ("classical", 0, "test"),
                ("classical", 2, "validation"),
                ("rock", 3, "train"),
                ("rock", 4, "test"),
                (None, 5, "test"),
            ]
        )
    ],
    orient="row",
)


def song(seed: int, seconds: float = 0.5, level: float = 0.05) -> Source:
    """Noise with another spectrum for each seed."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, level, (int(seconds * RATE), 2))
    noise = np.apply_along_axis(np.convolve, 0, noise, rng.normal(0, 1, 5), mode="same")
    track = {"path": f"{seed}.wav", "track_id": f"{seed:032x}", "label": f"label {seed}"}
    return Source(track, noise.astype(np.float32), RATE, "00" * 32)


def guide_of(number: int, path: str, **config: object) -> str:
    selection = Selection(None, SimpleNamespace(config=config, partition="tiny"))
    selection.__dict__.update(
        _snapshot=TRACKS, _held_out=TRACKS.filter(pl.col("split") != "train").sort("track_id")
    )
    source = TRACKS.row(by_predicate=pl.col("path") == path, named=True)
    return selection.guide_of(number, source)["path"]


def transfer(source: Source, guide: Source | None, **settings):
    config = StyleTransferConfig(features="random_1d", steps=8, **settings)
    return style_transfers._transfer(NETWORK, config, 0, source, guide)


def test_the_guide_is_a_held_out_track_of_the_next_label_of_another_artist():
    asks = {"guide_of_another_label": True}
    assert guide_of(0, "1.wav", **asks) == "2.wav"  # blues -> classical
    assert guide_of(1, "1.wav", **asks) == "3.wav"  # in turn
    assert guide_of(0, "0.wav", **asks) == "3.wav"  # group 0 has a classical track, too
    assert guide_of(0, "3.wav", **asks) == "5.wav"  # the rock track of the train side is no guide
    assert guide_of(0, "5.wav", **asks) == "0.wav"  # after the last label, the first one
    assert guide_of(0, "6.wav", **asks) == "0.wav"  # a source without a label


def test_a_named_guide_comes_before_the_default():
    assert guide_of(0, "1.wav", guide_of_another_label=True, guide="5.wav") == "5.wav"
    with pytest.raises(UserError, match=r"the guide '1\.wav' is the source itself"):
        guide_of(0, "1.wav", guide_of_another_label=True, guide="1.wav")


def test_a_dataset_of_one_label_has_no_guide(monkeypatch):
    monkeypatch.setitem(globals(), "TRACKS", TRACKS.filter(pl.col("label") == "blues"))
    with pytest.raises(UserError, match=r"has another label than the source '0\.wav'"):
        guide_of(0, "0.wav", guide_of_another_label=True)


@pytest.mark.parametrize("settings", [{}, {"phase": "new"}, {"start": "noise"}])
def test_a_sound_of_the_same_shape_with_its_figures(settings):
    source, guide = song(0), song(1)
    generated = transfer(source, guide, **settings)
    assert generated.samples.shape == source.samples.shape
    assert generated.samples.dtype == np.float32
    assert np.abs(generated.samples).max() <= 1.0
    facts = generated.facts
    assert facts["target"] == "label 1"
    assert facts["phase"] == ("new" if settings else "original")
    assert facts["style_ratio"] < 1.0 or settings == {"start": "noise"}  # so few steps from there
    assert facts["identity_snr_db"] > 90
    unscaled = generated.samples / np.float32(facts["gain"])
    assert facts["snr_to_original_db"] == pytest.approx(snr_db(source.samples, unscaled), abs=0.01)
    row = {**facts, "path": "0.wav", "guide": {"path": "1.wav"}}
    assert figures(row)["distance from the style"].endswith("of the original's")
    assert sound_rows({"sounds": [row]})[0]["guide"] == "1.wav"


def test_the_same_bytes_again():
    first, again = (transfer(song(0), song(1), phase="new") for _ in range(2))
    assert first.samples.tobytes() == again.samples.tobytes()
    assert first.picture == again.picture


@pytest.mark.parametrize(
    ("source", "guide", "message"),
    [
        (song(0, seconds=0.01), song(1), "shorter than a frame"),
        (song(0, level=0.0), song(1), "the excerpt is silent"),
        (song(0), song(1, level=0.0), "the excerpt is silent"),
        (song(0), song(0), "the guide and the source show the same sound"),
        (song(0), None, "needs a guide song"),
    ],
)
def test_songs_that_cannot_be_used_are_refused(source, guide, message):
    with pytest.raises(UserError, match=message):
        transfer(source, guide)


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """`planned(features)` is the spec of a recipe, with a tiny VGG-16 in the folder of weights."""
    monkeypatch.setenv("MELGRAPH_WEIGHTS", str(tmp_path))
    path = tmp_path / "tiny.safetensors"
    save_file({n: v.half() for n, v in Vgg("vgg16", widths=(2, 3, 4, 5, 5)).state_dict().items()},
              path)  # fmt: skip
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(VGG_FILES, "vgg16", (WeightsFile(path.name, digest),))

    def plan(features: str) -> Spec:
        spec = Spec("style_transfers", "r", 1, (), {"style": {"features": features}}, 0)
        monkeypatch.setattr(style_transfers, "plan_sounds", lambda *_: spec)
        context = SimpleNamespace(home=SimpleNamespace(root=tmp_path))
        return plan_style_transfers(context, "r")

    return plan


def test_the_digest_of_the_weights_is_part_of_the_version(planned, tmp_path, monkeypatch):
    spec = planned("vgg16")
    digest = hashlib.sha256((tmp_path / "tiny.safetensors").read_bytes()).hexdigest()
    assert spec.config["vgg"] == {"of": "vgg16", "file": "tiny.safetensors", "sha256": digest}
    assert spec.version != planned("random_1d").version
    (licence,) = style_transfers._licences(spec.config)
    assert (licence["of"], licence["sha256"]) == ("vgg16", digest)
    config = StyleTransferConfig(features="vgg16")
    store = SimpleNamespace(home=SimpleNamespace(root=tmp_path))
    network = style_transfers._network(store, spec, config)
    assert network.layers[0] == "conv1_1"
    (tmp_path / "tiny.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"tiny.safetensors is damaged"):
        style_transfers._network(store, spec, config)


def test_a_vgg19_that_is_not_here_is_named(planned, monkeypatch):
    def refuse(*_arguments):
        raise OSError("no route to host")

    monkeypatch.setattr("melgraph.ml.weights.files._fetch", refuse)
    with pytest.raises(UserError, match=r"vgg19-dcbb9e9d.pth cannot be fetched"):
        planned("vgg19")


def test_the_licence_of_torchvisions_weights_is_stated():
    known = feature_weights.VGG_FILES["vgg19"][0]
    config = {"vgg": {"of": "vgg19", "file": known.file, "sha256": "ab" * 32}}
    (licence,) = style_transfers._licences(config)
    assert "torchvision" in licence["weights"]
    assert licence["commercial_use"] == "forbidden"


def test_the_shipped_recipes_run_by_name_only(tmp_path):
    from melgraph.ml.specs import load_specs

    recipes = load_specs(tmp_path).recipes
    for name in ("vgg", "resnet", "mn04", "random-1d"):
        recipe = recipes[f"style-transfer-{name}"]
        assert not recipe.by_default
        assert recipe.needs_guide
        assert recipe.has_guide  # it comes from the dataset
        assert recipe.style.alpha_beta == (0.1 if name == "random-1d" else 1e-3)


def test_the_sounds_of_a_run_are_those_of_the_recipe(made_home):
    context: Context = made_home.context
    artifact = context.store.need("style_transfers", "tiny-style")
    (row,) = artifact.facts["sounds"]
    assert row["target"] == row["guide"]["label"] != row["label"]
    assert set(row["files"]) == {"original", "guide", "style", "picture"}
    assert plan_style_transfers(context, "tiny-style") == artifact.record.spec
