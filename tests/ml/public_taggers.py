"""State dicts of taggers with the names and shapes that `sota-music-tagging-models` publishes."""

import torch

from melgraph.ml.models import InputShape, build
from melgraph.ml.models.mobilenet_v3 import BLOCKS


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


def mobilenet_v3(tags=527, width=0.4):
    """EfficientAT's names and shapes at a width: mn04 has 0.4."""
    layers = {"features.0.0.weight": (_of(16, width), 1, 3, 3)} | norm(
        "features.0.1", _of(16, width)
    )
    before = _of(16, width)
    for i, (kernel, wide, out, excite, _hardswish, _stride) in enumerate(BLOCKS, start=1):
        expanded, after, step = _of(wide, width), _of(out, width), 0
        block = f"features.{i}.block"
        if expanded != before:
            layers |= bare_conv(f"{block}.{step}", expanded, before, 1)
            step += 1
        layers |= bare_conv(f"{block}.{step}", expanded, 1, kernel)
        step += 1
        if excite:
            squeezed = max(8, int(expanded / 4 + 4) // 8 * 8)
            squeezed += 8 * (squeezed < 0.9 * expanded / 4)
            inner = f"{block}.{step}.conc_se_layers.0"
            layers |= conv(f"{inner}.fc1", squeezed, expanded)
            layers |= conv(f"{inner}.fc2", expanded, squeezed)
            step += 1
        layers |= bare_conv(f"{block}.{step}", after, expanded, 1)
        before = after
    layers |= bare_conv(f"features.{len(BLOCKS) + 1}", 6 * before, before, 1)
    hidden = _of(1280, width)
    return layers | conv("classifier.2", hidden, 6 * before) | conv("classifier.5", tags, hidden)


def bare_conv(name, out, before, kernel):
    return {f"{name}.0.weight": (out, before, kernel, kernel)} | norm(f"{name}.1", out)


def _of(channels, width):
    nearest = max(8, int(channels * width + 4) // 8 * 8)
    return nearest + 8 * (nearest < 0.9 * channels * width)


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


def musicnn(tags=50, back_end=64, hidden=200, timbre=204, rhythm=51):
    found = front_end(96)
    for i, height in enumerate((67, 38)):
        found |= conv_norm(f"layers.{i}", timbre, 1, height, 7)
    for i, length in enumerate((129, 65, 33), start=2):
        found |= conv_norm(f"layers.{i}", rhythm, 1, length)
    front = 2 * timbre + 3 * rhythm
    for i, width in enumerate((front, back_end, back_end), start=1):
        found |= conv_norm(f"layer{i}", back_end, width, 7)
    found |= conv("dense1", hidden, 2 * (front + 3 * back_end)) | norm("bn", hidden)
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


def state_of(shapes, seed=0):
    """Tensors of these shapes as training might leave them; mel filters as they are."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator) * 0.05
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith("window"):
            value = torch.hann_window(512)
        elif name.endswith(("running_var", "bw_Q")) or (len(shape) == 1 and "weight" in name):
            value = value.abs() + 0.5
        found[name] = value
    if "spec.mel_scale.fb" in shapes:
        like = "fcn" if shapes["spec.mel_scale.fb"][1] == 96 else "self_attention"
        model = build(like, InputShape(1, 1, 464000), n_classes=2)
        found["spec.mel_scale.fb"] = model.get_submodule("spectrogram.mel.mel_scale").fb.clone()
    return found
