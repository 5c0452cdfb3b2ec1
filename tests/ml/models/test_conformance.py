"""What every architecture of the registry must do; a new one is tested by being registered."""

import numpy as np
import pytest
import torch

from ml import checkpoints
from ml.models import build, names

N_MELS, N_CLASSES, FRAMES = 128, 5, 129


@pytest.fixture(params=names())
def name(request):
    return request.param


def model_of(name, seed=0):
    model = build(name, InputShape(1, N_MELS, FRAMES), n_classes=N_CLASSES, seed=seed)
    model.set_normalisation(np.linspace(-40, -10, N_MELS), np.linspace(8, 20, N_MELS))
    return model


def batch(n=3, frames=FRAMES, seed=0):
    """Something like music: dB values `[n, 1, mel, frame]`."""
    noise = torch.randn((n, 1, N_MELS, frames), generator=torch.Generator().manual_seed(seed))
    return noise * 15 - 25


def bits(tensor):
    return tensor.detach().numpy().tobytes()


def test_shapes(name):
    model = model_of(name).eval()
    with torch.inference_mode():
        logits, embedding = model(batch()), model.embed(batch())
        assert bits(model.classify(embedding)) == bits(logits)
    assert logits.shape == (3, N_CLASSES)
    assert logits.dtype == torch.float32
    assert embedding.shape == (3, model.embedding_dim)
    assert embedding.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert model.n_parameters == sum(p.numel() for p in model.parameters())


def test_gradients_reach_every_parameter_and_the_input(name):
    model, x = model_of(name).train(), batch(4).requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    without = [
        key
        for key, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []
    assert x.grad.any()


def test_checkpoint_round_trip_is_bit_exact(name, tmp_path):
    model = model_of(name)
    model(batch(4))  # moves the running statistics of batch norms off their defaults
    model.eval()
    meta = {
        "classes": list("abcde"),
        "crop_frames": FRAMES,
        "mel_transform": {"n_mels": N_MELS, "sample_rate": 22050},
    }
    checkpoints.save(tmp_path, model, meta)
    again, meta_again = checkpoints.load(tmp_path)
    assert meta_again == meta
    assert (again.architecture, again.options) == (name, model.options)
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert bits(again.state_dict()[key]) == bits(value), key
    with torch.inference_mode():
        assert bits(again(batch())) == bits(model(batch()))


def test_deterministic_and_silent_about_global_state(name):
    before = torch.get_rng_state()
    one, same, other = model_of(name, seed=1), model_of(name, seed=1), model_of(name, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in one.state_dict().items():
        assert bits(same.state_dict()[key]) == bits(value), key
    assert any(bits(v) != bits(other.state_dict()[k]) for k, v in one.state_dict().items())
    one.eval()
    with torch.inference_mode():
        assert bits(one(batch())) == bits(one(batch()))


@pytest.mark.parametrize("frames", [1, 2, 37, FRAMES, 301])
def test_any_length_down_to_a_single_frame(name, frames):
    model = model_of(name).eval()
    with torch.inference_mode():
        logits = model(batch(2, frames))
    assert logits.shape == (2, N_CLASSES)
    assert torch.isfinite(logits).all()


def test_a_row_does_not_depend_on_the_batch(name):
    model, x = model_of(name).eval(), batch(4)
    with torch.inference_mode():
        alone, together = model(x[2:3]), model(x)[2:3]
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_normalisation_is_applied_inside(name):
    """The same sound, its dB shifted and scaled per band along with the statistics: same logits."""
    plain, moved = model_of(name).eval(), model_of(name).eval()
    mean, std = plain.mean.numpy(), plain.std.numpy()
    moved.set_normalisation(mean * 2 + 3, std * 2)
    with torch.inference_mode():
        torch.testing.assert_close(moved(batch() * 2 + 3), plain(batch()), rtol=1e-3, atol=1e-3)


def test_layers_are_convolutions_with_four_axes_that_the_input_flows_through(name):
    model = model_of(name).eval()
    seen = {}
    for key, layer in model.layers().items():
        layer.register_forward_hook(lambda _m, _i, out, key=key: seen.update({key: out.shape}))
    with torch.inference_mode():
        model.embed(batch(2))
    assert len(seen) >= 2
    assert list(seen) == list(model.layers())  # in order, from the input upwards
    assert all(len(shape) == 4 and shape[0] == 2 for shape in seen.values())


@pytest.mark.parametrize("shape", [(2, N_MELS, 9), (2, 1, N_MELS + 1, 9), (2, 3, N_MELS, 9)])
def test_wrong_input_is_refused(name, shape):
    with pytest.raises(ValueError, match=f"{N_MELS} mel"):
        model_of(name).eval()(torch.zeros(shape))
