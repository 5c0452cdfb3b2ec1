"""What every architecture of the registry must do, on every kind of input that it takes.

A new one is tested by being registered, and by a line in `TAKES`.
"""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build, names
from melgraph.ml.weights import checkpoints

N_CLASSES = 5
MEL, MFCC, FEATURES = InputShape(1, 128, 129), InputShape(1, 20, 129), InputShape(1, 57, 1)
AMPLITUDE, BOTH = InputShape(1, 513, 60), InputShape(2, 513, 60)
IMAGES = InputShape(3, 64, 64)  # of amplitude and phase
WAVEFORM = InputShape(1, 1, 4000)
CROP_29S, CROP_3S, CROP_5S = (InputShape(1, 1, n) for n in (327424, 16000, 73472))
CROP_3_10 = InputShape(1, 1, 3**10)
NARROW = {"channels": [4] * 10 + [8]}
SMALL, MEDIUM = {"image_size": [32, 32]}, {"image_size": [64, 64]}
TAKES = {  # architecture: (shape, options that keep the test short)
    "conv_lstm": [(MFCC, {}), (MEL, {"channels": 8})],
    "crnn": [(CROP_5S, {"channels": [8, 8, 8, 8], "hidden": 8})],
    "dense": [(FEATURES, {})],
    "efficientnet": [(MEL, MEDIUM)],
    "fcn": [(CROP_29S, {"channels": [4, 4, 4, 8, 8]})],
    "harmonic_cnn": [(CROP_5S, {"channels": 4})],
    "mfcc_cnn": [(MFCC, {}), (MEL, {"channels": [8, 16, 32]})],
    "mobilenet_v3": [(CROP_3S, {"width": 0.1})],
    "musicnn": [(CROP_3S, {"timbre": 8, "rhythm": 4, "back_end": 8, "hidden": 16})],
    "probe": [(FEATURES, {})],
    "resnet18": [(MEL, MEDIUM), (AMPLITUDE, MEDIUM), (BOTH, MEDIUM), (IMAGES, {})],
    "sample_cnn": [(CROP_3_10, NARROW)],
    "sample_cnn_se": [(CROP_3_10, {"channels": [16] * 11, "hidden": 8})],
    "self_attention": [(CROP_3S, {"channels": 8, "heads": 2})],
    "small_cnn": [(MEL, {}), (MFCC, {}), (BOTH, {})],
    "vit": [(MEL, SMALL), (BOTH, SMALL)],
    "waveform_cnn": [(WAVEFORM, {"width": 16})],
}
CASES = [(name, shape, options) for name in TAKES for shape, options in TAKES[name]]
IDS = [f"{name}-{shape.channels}x{shape.bins}x{shape.frames}" for name, shape, _ in CASES]


@pytest.fixture(params=CASES, ids=IDS)
def case(request):
    return request.param


def model_of(case, seed=0):
    name, shape, options = case
    model = build(name, shape, n_classes=N_CLASSES, seed=seed, **options)
    mean = np.linspace(-40, -10, shape.channels * shape.bins)
    std = np.linspace(8, 20, shape.channels * shape.bins)
    size = (shape.channels, shape.bins)
    model.set_normalisation(mean.reshape(size), std.reshape(size))
    return model


def batch(case, n=3, frames=None, seed=0):
    """Something like stored values `[n, channel, bin, frame]`."""
    shape = case[1]
    size = (n, shape.channels, shape.bins, frames or shape.frames)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 15 - 25


def bits(tensor):
    return tensor.detach().numpy().tobytes()


def test_every_architecture_is_tried():
    assert sorted(TAKES) == names()


def test_shapes(case):
    model = model_of(case).eval()
    with torch.inference_mode():
        logits, embedding = model(batch(case)), model.embed(batch(case))
        assert bits(model.classify(embedding)) == bits(logits)
    assert logits.shape == (3, N_CLASSES)
    assert logits.dtype == torch.float32
    assert embedding.shape == (3, model.embedding_dim)
    assert embedding.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert model.n_parameters == sum(p.numel() for p in model.parameters())


def test_gradients_reach_every_parameter_and_the_input(case):
    model, x = model_of(case).train(), batch(case, 8).requires_grad_()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):  # residual branches may begin at zero, and let nothing through at first
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), torch.arange(8) % N_CLASSES).backward()
        optimiser.step()
    without = [
        key
        for key, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []
    assert x.grad.any()


def test_checkpoint_round_trip_is_bit_exact(case, tmp_path):
    model = model_of(case)
    model(batch(case, 4))  # moves the running statistics of batch norms off their defaults
    model.eval()
    meta = {
        "classes": list("abcde"),
        "input": {"representation": "x", "channels": ["amplitude"], "transform": {}},
    }
    checkpoints.save(tmp_path, model, meta)
    again, meta_again = checkpoints.load(tmp_path)
    assert meta_again == meta
    assert (again.architecture, again.options) == (case[0], model.options)
    assert again.shape == model.shape
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert bits(again.state_dict()[key]) == bits(value), key
    with torch.inference_mode():
        assert bits(again(batch(case))) == bits(model(batch(case)))


def test_deterministic_and_silent_about_global_state(case):
    before = torch.get_rng_state()
    one, same, other = model_of(case, seed=1), model_of(case, seed=1), model_of(case, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in one.state_dict().items():
        assert bits(same.state_dict()[key]) == bits(value), key
    assert any(bits(v) != bits(other.state_dict()[k]) for k, v in one.state_dict().items())
    one.eval()
    with torch.inference_mode():
        assert bits(one(batch(case))) == bits(one(batch(case)))


@pytest.mark.parametrize("frames", [1, 2, 37, 301])
def test_any_length_down_to_a_single_frame_or_a_refusal(case, frames):
    model = model_of(case).eval()
    if not model.any_length and frames != case[1].frames:
        with pytest.raises(ValueError, match=f"{case[1].frames} frame"):
            model(batch(case, 2, frames))
        return
    with torch.inference_mode():
        logits = model(batch(case, 2, frames))
    assert logits.shape == (2, N_CLASSES)
    assert torch.isfinite(logits).all()


def test_a_row_does_not_depend_on_the_batch(case):
    model, x = model_of(case).eval(), batch(case, 4)
    with torch.inference_mode():
        alone, together = model(x[2:3]), model(x)[2:3]
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)


def test_normalisation_is_applied_inside(case):
    """The same sound, shifted and scaled per bin along with the statistics: same logits."""
    plain, moved = model_of(case).eval(), model_of(case).eval()
    moved.set_normalisation(plain.mean.numpy() * 2 + 3, plain.std.numpy() * 2)
    with torch.inference_mode():
        torch.testing.assert_close(
            moved(batch(case) * 2 + 3), plain(batch(case)), rtol=1e-3, atol=2e-3
        )


def test_layers_are_convolutions_with_a_position_axis_or_two_in_the_order_of_the_input(case):
    model = model_of(case).eval()
    seen = {}
    for key, layer in model.layers().items():
        layer.register_forward_hook(lambda _m, _i, out, key=key: seen.update({key: out.shape}))
    with torch.inference_mode():
        model.embed(batch(case, 2))
    assert list(seen) == list(model.layers())  # in order, from the input upwards
    axes = {len(shape) for shape in seen.values()}
    assert axes in (set(), {3}, {4})  # [batch, channel, position] or [batch, channel, bin, frame]
    assert all(shape[0] == 2 for shape in seen.values())


@pytest.mark.parametrize("change", [{"channels": 4}, {"bins": 7}])
def test_wrong_input_is_refused(case, change):
    name, shape, options = case
    other = InputShape(**{"channels": shape.channels, "bins": shape.bins, "frames": shape.frames}
                       | change)  # fmt: skip
    with pytest.raises(ValueError, match=f"{shape.channels} channel, {shape.bins} bin"):
        model_of(case).eval()(batch((name, other, options)))
    with pytest.raises(ValueError, match="must be"):
        model_of(case).eval()(batch(case)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_answers_as_the_cpu(case):
    model, x = model_of(case).eval(), batch(case, 4)
    with torch.inference_mode():
        expected = model(x)
        found = model.to("cuda")(x.to("cuda")).cpu()
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)  # TF32 convolutions


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dense", MEL),
        ("waveform_cnn", MEL),
        ("mfcc_cnn", WAVEFORM),
        ("conv_lstm", WAVEFORM),
        ("resnet18", FEATURES),
        ("vit", WAVEFORM),
        ("musicnn", MEL),
        ("fcn", WAVEFORM),
        ("crnn", WAVEFORM),
        ("harmonic_cnn", WAVEFORM),
        ("sample_cnn", WAVEFORM),
        ("sample_cnn_se", FEATURES),
        ("self_attention", MFCC),
    ],
)
def test_what_it_cannot_take_is_told_with_what_it_could(name, shape):
    with pytest.raises(UserError, match="needs") as caught:
        build(name, shape, n_classes=2)
    assert str(shape) in caught.value.what
    assert "input" in caught.value.remedy


def test_one_class_is_nothing_to_tell_apart(case):
    name, shape, options = case
    with pytest.raises(UserError, match="nothing to tell apart"):
        build(name, shape, n_classes=1, **options)
