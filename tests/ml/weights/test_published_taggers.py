"""Public weights of taggers: our answers beside the originals', and every way a file can be wrong.

What the originals answer is known for three (`golden`, real data). Of all seven, state dicts with
the published names and shapes are made here.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build
from melgraph.ml.models.harmonic_cnn import HarmonicDecibels
from melgraph.ml.models.mobilenet_v3 import EmphasisedLogMel
from melgraph.ml.weights.published_taggers import (
    NEGLIGIBLE,
    PUBLISHED,
    load_published_tagger,
    our_names,
)
from tests.ml.public_taggers import (
    crnn,
    fcn,
    harmonic_cnn,
    mobilenet_v3,
    musicnn,
    sample_cnn,
    sample_cnn_se,
    self_attention,
    state_of,
)

REAL = os.environ.get("MELGRAPH_REAL_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="MELGRAPH_REAL_DATA is not set")


MAKERS = {
    "fcn": fcn,
    "crnn": crnn,
    "musicnn": musicnn,
    "self_attention": self_attention,
    "harmonic_cnn": harmonic_cnn,
    "mobilenet_v3": mobilenet_v3,
    "sample_cnn": sample_cnn,
    "sample_cnn_se": sample_cnn_se,
}
# Lee et al. 2017, table 1: 1.9e6 for the sample-level CNN; the others are sums over the layers.
PARAMETERS = {
    "fcn": 447_732,
    "crnn": 394_100,
    "musicnn": 784_300,
    "self_attention": 10_521_652,
    "harmonic_cnn": 3_631_551,
    "mobilenet_v3": 983_599,
    "sample_cnn": 1_869_874,
    "sample_cnn_se": 6_951_858,
}
HEADS = ("dense.weight", "dense2.weight", "classifier.5.weight")
COMPUTED = ("window", ".fb", "running_mean", "running_var", "num_batches_tracked")


def written(tmp_path, state, name="weights.pth"):
    torch.save(state, tmp_path / name)
    return tmp_path / name


def test_every_published_architecture_is_tried():
    assert set(MAKERS) == set(PUBLISHED)


@pytest.mark.parametrize("architecture", sorted(MAKERS))
def test_a_public_state_dict_fits_our_module_tensor_by_tensor(architecture, tmp_path):
    shapes = MAKERS[architecture]()
    learned = {name: shape for name, shape in shapes.items() if not name.endswith(COMPUTED)}
    assert sum(int(np.prod(shape)) for shape in learned.values()) == PARAMETERS[architecture]
    state = state_of(shapes)
    model = load_published_tagger(architecture, written(tmp_path, state))
    token = 256 if architecture == "self_attention" else 0  # theirs draws it anew each time
    assert model.n_parameters == PARAMETERS[architecture] + token
    assert not model.training
    ours, renamed = model.state_dict(), our_names(architecture, state)
    assert all(torch.equal(ours[name], value) for name, value in renamed.items())
    values = [v.flatten()[0].item() for v in renamed.values() if v.is_floating_point()]
    assert len(set(values)) > 0.5 * len(values)  # no tensor went to two places
    x = torch.randn(2, 1, 1, model.shape.frames, generator=torch.Generator().manual_seed(1)) * 3000
    with torch.inference_mode():
        assert torch.isfinite(model(x)).all()
        assert model.embed(x).shape == (2, model.embedding_dim)


@pytest.mark.parametrize(
    ("architecture", "shapes", "options"),
    [
        ("musicnn", musicnn(56, 512, 500), {"back_end": 512, "hidden": 500}),
        ("fcn", fcn(10, (32, 64, 64, 128, 256)), {"channels": [32, 64, 64, 128, 256]}),
        ("crnn", crnn(7, 64), {"hidden": 64}),
        ("mobilenet_v3", mobilenet_v3(9, 0.1), {"width": 0.1}),
    ],
    ids=["musicnn", "fcn", "crnn", "mobilenet_v3"],
)
def test_other_widths_are_read_off_the_file(architecture, shapes, options, tmp_path):
    model = load_published_tagger(architecture, written(tmp_path, state_of(shapes)))
    assert options.items() <= model.options.items()
    head = next(s for n, s in shapes.items() if n in HEADS)
    assert model.n_classes == head[0]


def test_older_and_wrapped_files_are_read_alike(tmp_path):
    """Without counters of batch norms, without the spectrogram; under `state_dict`, `module.`."""
    state = state_of(musicnn())
    known = load_published_tagger("musicnn", written(tmp_path, state))
    bare = {n: v for n, v in state.items() if not n.startswith("spec.") and "tracked" not in n}
    wrapped = {"state_dict": {f"module.{name}": value for name, value in bare.items()}}
    older = load_published_tagger("musicnn", written(tmp_path, wrapped, "older.pth"))
    for name, value in known.state_dict().items():
        if "tracked" not in name:
            assert torch.equal(older.state_dict()[name], value), name


def test_numbers_next_to_nothing_are_nothing(tmp_path):
    state = state_of(musicnn())
    state["layer2.conv.weight"][0] = 1e-40
    model = load_published_tagger("musicnn", written(tmp_path, state))
    assert not model.get_submodule("blocks.1.conv").weight[0].any()
    least = min(p.detach().abs()[p != 0].min().item() for p in model.parameters())
    assert least >= NEGLIGIBLE


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda s: without(s, "layer2.bn.weight"), "no blocks.1.norm.weight"),
        (lambda s: s | {"layer9.conv.weight": torch.ones(1)}, "unknown layer9.conv.weight"),
        (lambda s: s | {"dense1.bias": torch.ones(3)}, r"hidden.bias is \(3,\), not \(200,\)"),
        (lambda s: without(s, "dense2.weight"), "no dense.weight"),
        (lambda s: s | {"bn.weight": torch.full((200,), np.nan)}, "not finite"),
        (lambda s: without(s, "layers.3.bn.running_mean"), r"no horizontal.1.norm.running_mean"),
        (lambda s: s | {"spec.mel_scale.fb": torch.rand(513, 96)}, r"fb is \(513, 96\)"),
    ],
    ids=["lacking", "unknown", "shape", "no head", "nan", "statistics", "filters"],
)
def test_what_does_not_fit_is_told(spoil, told, tmp_path):
    path = written(tmp_path, spoil(state_of(musicnn())))
    with pytest.raises(UserError, match=told) as caught:
        load_published_tagger("musicnn", path)
    assert path.name in caught.value.what
    assert caught.value.where == str(path)


def test_weights_of_another_architecture(tmp_path):
    with pytest.raises(UserError, match="not those of a published 'musicnn'"):
        load_published_tagger("musicnn", written(tmp_path, state_of(crnn())))
    with pytest.raises(UserError, match="no published tagger 'resnet18'"):
        load_published_tagger("resnet18", tmp_path / "x.pth")


def test_a_file_cut_short(tmp_path):
    path = written(tmp_path, state_of(fcn()))
    path.write_bytes(path.read_bytes()[:-50_000])
    with pytest.raises(UserError, match="cut short, or damaged") as caught:
        load_published_tagger("fcn", path)
    assert f"{path.stat().st_size:,} bytes" in caught.value.what


@needs_real
def test_a_real_download_that_was_cut_short():
    for path in sorted((Path(REAL) / "weights" / "corrupt").iterdir()):
        with pytest.raises(UserError, match=path.name):
            load_published_tagger("fcn", path)


@needs_real
@pytest.mark.parametrize("architecture", ["fcn", "crnn", "musicnn"])
def test_our_taggers_answer_as_the_originals(architecture):
    folder = Path(REAL) / "weights" / "jamendo"
    with np.load(folder / "golden" / f"{architecture}.npz") as golden:
        samples, expected = golden["waveform_int16"], golden["probabilities"]
    model = load_published_tagger(architecture, folder / f"{architecture}.pth")
    with torch.inference_mode():
        x = torch.from_numpy(samples.astype(np.float32))[:, None, None]
        found = torch.sigmoid(model(x)).numpy()
    assert model.shape.frames == samples.shape[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@needs_real
def test_mn04_answers_as_the_original():
    folder = Path(REAL) / "weights" / "audioset"
    with np.load(folder / "golden" / "mn04.npz") as golden:
        samples = golden["waveform_int16"]
        expected = {name: golden[name] for name in ("embedding", "probabilities")}
    model = load_published_tagger("mobilenet_v3", folder / "mn04.safetensors")
    with torch.inference_mode():
        embedding = model.embed(torch.from_numpy(samples.astype(np.float32))[:, None, None])
        probabilities = torch.sigmoid(model.classify(embedding))
    assert model.shape.frames == samples.shape[1]
    np.testing.assert_allclose(embedding.numpy(), expected["embedding"], atol=1e-4)
    np.testing.assert_allclose(probabilities.numpy(), expected["probabilities"], atol=1e-4)


def test_the_spectrogram_of_mn04_is_that_of_its_definition():
    """Computed with numpy alone, from the formulas that EfficientAT documents."""
    samples = np.random.default_rng(0).normal(0, 0.1, 4000)
    emphasised = np.pad(samples[1:] - 0.97 * samples[:-1], 512, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799)
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, 1024)[::320] * window
    power = np.abs(np.fft.rfft(frames)) ** 2  # [frame, bin]
    mel_of = lambda hertz: 1127 * np.log(1 + np.asarray(hertz) / 700)  # noqa: E731
    edges = np.linspace(0, mel_of(15000), 130)
    bins = mel_of(np.arange(513) * 32000 / 1024)
    rising = (bins - edges[:-2, None]) / (edges[1] - edges[0])
    falling = (edges[2:, None] - bins) / (edges[1] - edges[0])
    filters = np.maximum(0, np.minimum(rising, falling))  # [mel, bin]
    expected = (np.log(power @ filters.T + 1e-5) + 4.5) / 5
    values = EmphasisedLogMel()(torch.from_numpy(samples.astype(np.float32))[None])
    np.testing.assert_allclose(values[0, 0].numpy().T, expected, atol=2e-4)


def test_layer_shapes_of_the_sample_level_cnn_are_those_of_its_paper():
    """Lee et al. 2017, table 1: samples x channels after each layer of the 3^9 model."""
    model = build("sample_cnn", InputShape(1, 1, 59049), n_classes=50).eval()
    seen = []
    for block in model.blocks:
        block.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    with torch.inference_mode():
        model(torch.zeros(1, 1, 1, 59049))
    expected = [(128, 3**9), (128, 3**8), (128, 3**7), (256, 3**6), (256, 3**5), (256, 3**4)]
    expected += [(256, 3**3), (256, 3**2), (256, 3), (512, 1), (512, 1)]
    assert seen == expected


def test_harmonic_filters_lie_where_the_paper_puts_them():
    """Won et al. 2020, section 2: triangles at n f, (0.1079 n f + 24.7) / Q Hz wide."""
    module = HarmonicDecibels(6, 2)
    assert module.n_pitches == 128  # C1 to E6, two a semitone
    filters = module.filters().detach().numpy().reshape(257, 6, 128)
    hertz = np.linspace(0, 8000, 257)
    for harmonic, pitch in ((1, 60), (3, 100), (6, 127)):
        centre = harmonic * 440 * 2 ** ((24 + pitch / 2 - 69) / 12)
        width = 0.1079 * centre + 24.7
        triangle = np.maximum(0, 1 - np.abs(hertz - centre) / (width / 2))
        np.testing.assert_allclose(filters[:, harmonic - 1, pitch], triangle, atol=2e-4)
    module.q.data.fill_(2.0)
    assert module.filters().sum() < 0.6 * filters.sum()
