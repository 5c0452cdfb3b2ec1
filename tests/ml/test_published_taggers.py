"""Public weights of taggers: our answers beside the originals', and every way a file can be wrong.

What the originals answer is known for three (`golden`, real data). Of all seven, state dicts with
the published names and shapes are made here.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.errors import UserError
from ml.models import InputShape, build
from ml.models.harmonic_cnn import HarmonicDecibels
from ml.published_taggers import DUST, PUBLISHED, load_published_tagger, our_names

REAL = os.environ.get("MELGRAPH_REAL_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="MELGRAPH_REAL_DATA is not set")


def conv(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name, width):
    of = {f"{name}.{kind}": (width,) for kind in ("weight", "bias", "running_mean", "running_var")}
    return of | {f"{name}.num_batches_tracked": ()}


def conv_norm(layer, *shape):
    return conv(f"{layer}.conv", *shape) | norm(f"{layer}.bn", shape[0])


def front_end(n_mels):
    return norm("spec_bn", 1) | {
        "spec.spectrogram.window": (512,),
        "spec.mel_scale.fb": (257, n_mels),
    }


def residual_1d(layer, width_in, width, kernel, shortcut):
    found = conv(f"{layer}.conv_1", width, width_in, kernel) | norm(f"{layer}.bn_1", width)
    found |= conv(f"{layer}.conv_2", width, width, kernel) | norm(f"{layer}.bn_2", width)
    found |= conv(f"{layer}.dense1", width, width) | conv(f"{layer}.dense2", width, width)
    if shortcut:
        found |= conv(f"{layer}.conv_3", width, width_in, kernel) | norm(f"{layer}.bn_3", width)
    return found


def fcn(tags=50, widths=(64, 128, 128, 128, 64)):
    found, before = front_end(96), 1
    for i, width in enumerate(widths, start=1):
        found |= conv_norm(f"layer{i}", width, before, 3, 3)
        before = width
    return found | conv("dense", tags, before)


def crnn(tags=50, hidden=32):
    found, before = front_end(96), 1
    for i, width in enumerate((64, 128, 128, 128), start=1):
        found |= conv_norm(f"layer{i}", width, before, 3, 3)
        before = width
    for i, width in enumerate((before, hidden)):
        found |= {f"layer5.weight_ih_l{i}": (3 * hidden, width)}
        found |= {f"layer5.weight_hh_l{i}": (3 * hidden, hidden)}
        found |= {f"layer5.bias_{kind}_l{i}": (3 * hidden,) for kind in ("ih", "hh")}
    return found | conv("dense", tags, hidden)


def musicnn(tags=50, back_end=64, hidden=200):
    found = front_end(96)
    for i, height in enumerate((67, 38)):
        found |= conv_norm(f"layers.{i}", 204, 1, height, 7)
    for i, length in enumerate((129, 65, 33), start=2):
        found |= conv_norm(f"layers.{i}", 51, 1, length)
    for i, width in enumerate((561, back_end, back_end), start=1):
        found |= conv_norm(f"layer{i}", back_end, width, 7)
    found |= conv("dense1", hidden, 2 * (561 + 3 * back_end)) | norm("bn", hidden)
    return found | conv("dense2", tags, hidden)


def self_attention(tags=50):
    found, before = front_end(128), 1
    for i, width in enumerate((128, 128, 256, 256, 256, 256, 256), start=1):
        for part, source in ((1, before), (2, width), (3, before)):
            found |= conv(f"layer{i}.conv_{part}", width, source, 3, 3)
            found |= norm(f"layer{i}.bn_{part}", width)
        before = width
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm"):
            shape = (256,) if part.endswith("Norm") else (256, 256)
            found |= conv(f"{layer}.attention.{part}", *shape)
        found |= conv(f"{layer}.intermediate.dense", 1024, 256)
        found |= conv(f"{layer}.output.dense", 256, 1024) | conv(f"{layer}.output.LayerNorm", 256)
    return found | conv("pooler.dense", 256, 256) | conv("dense", tags, 256)


def harmonic_cnn(tags=50):
    found = {"hstft.bw_Q": (1,), "hstft.spec.window": (512,)} | norm("hstft_bn", 6)
    for i, width in enumerate((128, 128, 128, 128, 256, 256, 256), start=1):
        if i in (1, 5):
            found |= conv_norm(f"layer{i}", width, 6 if i == 1 else 128, 3, 3)
            continue
        for part in (1, 2):
            found |= conv(f"layer{i}.conv_{part}", width, width, 3, 3)
            found |= norm(f"layer{i}.bn_{part}", width)
    return found | conv("dense1", 256, 256) | norm("bn", 256) | conv("dense2", tags, 256)


WIDTHS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)


def sample_cnn(tags=50):
    found, before = {}, 1
    for i, width in enumerate(WIDTHS, start=1):
        found |= conv_norm(f"layer{i}", width, before, 1 if i == 11 else 3)
        before = width
    return found | conv("dense", tags, 512)


def sample_cnn_se(tags=50):
    found, before = {}, 1
    for i, width in enumerate(WIDTHS, start=1):
        changes = i == 1 or width != before
        found |= residual_1d(f"layer{i}", before, width, 1 if i == 11 else 3, changes)
        before = width
    return found | conv("dense1", 512, 512) | norm("bn", 512) | conv("dense2", tags, 512)


MAKERS = {
    "fcn": fcn,
    "crnn": crnn,
    "musicnn": musicnn,
    "self_attention": self_attention,
    "harmonic_cnn": harmonic_cnn,
    "sample_cnn": sample_cnn,
    "sample_cnn_se": sample_cnn_se,
}
# Lee et al. 2017, table 1, give 1.9e6 for the sample-level CNN; the others are sums over the layers.
PARAMETERS = {
    "fcn": 447_732,
    "crnn": 394_100,
    "musicnn": 784_300,
    "self_attention": 10_521_652,
    "harmonic_cnn": 3_631_551,
    "sample_cnn": 1_869_874,
    "sample_cnn_se": 6_951_858,
}
COMPUTED = ("window", ".fb", "running_mean", "running_var", "num_batches_tracked")


def state_of(shapes, seed=0):
    """Tensors of these shapes as training might leave them; mel filters as they are."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator) * 0.05
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith(("running_var", "bw_Q")) or (len(shape) == 1 and "weight" in name):
            value = value.abs() + 0.5
        found[name] = value
    if "spec.mel_scale.fb" in shapes:
        like = "fcn" if shapes["spec.mel_scale.fb"][1] == 96 else "self_attention"
        model = build(like, InputShape(1, 1, 464000), n_classes=2)
        found["spec.mel_scale.fb"] = model.get_submodule("spectrogram.mel.mel_scale").fb.clone()
    return found


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
    ],
    ids=["musicnn", "fcn", "crnn"],
)
def test_other_widths_are_read_off_the_file(architecture, shapes, options, tmp_path):
    model = load_published_tagger(architecture, written(tmp_path, state_of(shapes)))
    assert options.items() <= model.options.items()
    head = next(s for n, s in shapes.items() if n in ("dense.weight", "dense2.weight"))
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
    assert least >= DUST


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
        (lambda s: s | {"spec.mel_scale.fb": torch.rand(257, 96)}, "other mel filters"),
    ],
    ids=["lacking", "unknown", "shape", "no head", "nan", "filters"],
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
