"""The weights of VGG: the published files, narrow ones of the same form, and damaged ones."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from melgraph.ml.errors import UserError
from melgraph.ml.weights import feature_weights
from melgraph.ml.weights.feature_weights import VGG_FILES, Vgg, WeightsFile, load_vgg, locate_vgg

TINY = (2, 3, 4, 5, 5)
KNOWN = WeightsFile("tiny.safetensors", "")


def narrow(network: str = "vgg16", **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """A state dict as torchvision names it, in float16 as the published file is stored."""
    state = Vgg(network, widths=TINY).state_dict()
    state = {name: value.half().contiguous() for name, value in state.items()}
    state["classifier.0.weight"] = torch.zeros(3, 3)  # whole files have a classifier, too
    for name, value in changes.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_file(narrow(), path)
    return path


def test_the_weights_are_read_as_float32_and_the_classifier_is_left_out(file):
    model = load_vgg("vgg16", file, KNOWN)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert model.features[0].weight.shape == (2, 3, 3, 3)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_layers_have_the_names_of_the_papers():
    names = Vgg("vgg16", widths=TINY).names
    assert names[1] == "conv1_1"
    assert names[22] == "conv4_3"
    assert names[29] == "conv5_3"
    assert len(Vgg("vgg19", widths=TINY).names) == 16


def test_the_input_is_normalised_as_the_weights_expect():
    model = Vgg("vgg16", (0.5, 0.25, 0.0), (1.0, 2.0, 1.0), TINY)
    with torch.no_grad():
        model.features[0].weight.zero_()
        model.features[0].weight[0, :, 1, 1] = torch.tensor([1.0, 10.0, 100.0])
        model.features[0].bias.zero_()
        (first,) = model(torch.ones(1, 3, 4, 4), ("conv1_1",)).values()
    assert first[0, 0, 2, 2].item() == pytest.approx(0.5 + 10 * 0.375 + 100)


def test_only_the_layers_that_are_asked_for_are_computed():
    model = Vgg("vgg16", widths=TINY)
    ran = []
    model.features[5].register_forward_hook(lambda *_: ran.append(1))
    assert set(model(torch.rand(1, 3, 8, 8), ("conv1_2",))) == {"conv1_2"}
    assert not ran


def test_building_a_network_draws_no_global_random_number():
    before = torch.get_rng_state()
    Vgg("vgg16", widths=TINY)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_another_network_are_refused(tmp_path, file):
    with pytest.raises(UserError, match=r"not those of vgg19: it has no features\.16\.weight"):
        load_vgg("vgg19", file, KNOWN)
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"it has no features\.0\.weight") as caught:
        load_vgg("vgg16", tmp_path / "other.safetensors", KNOWN)
    assert "vgg16-397923af.pth of torchvision" in caught.value.remedy


def test_a_file_that_was_cut_short_is_refused(file):
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot be read: cut short, or damaged"):
        load_vgg("vgg16", file, KNOWN)


def test_values_that_are_not_finite_are_refused(tmp_path):
    broken = torch.full((2,), float("nan"), dtype=torch.float16)
    save_file(narrow(**{"features.0.bias": broken}), tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match=r"features.0.bias of nan.safetensors holds values"):
        load_vgg("vgg16", tmp_path / "nan.safetensors", KNOWN)


def test_a_file_of_the_folder_is_used_only_if_its_digest_is_right(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_file(narrow(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right, wrong = (WeightsFile(path.name, digits) for digits in (digest, "0" * 64))
    monkeypatch.setitem(VGG_FILES, "vgg16", (right,))
    assert locate_vgg("vgg16", tmp_path) == (path, right)
    monkeypatch.setitem(VGG_FILES, "vgg16", (wrong,))
    with pytest.raises(UserError, match=r"tiny.safetensors is damaged"):
        locate_vgg("vgg16", tmp_path)


def test_a_missing_vgg19_is_named_with_its_address_and_its_place(tmp_path, monkeypatch):
    def refuse(*_arguments, **_keys):
        raise OSError("no route to host")

    monkeypatch.setattr("melgraph.ml.weights.files._fetch", refuse)
    with pytest.raises(UserError, match=r"vgg19-dcbb9e9d.pth cannot be fetched") as caught:
        locate_vgg("vgg19", tmp_path)
    assert caught.value.where == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert str(tmp_path / "imagenet" / "vgg19-dcbb9e9d.pth") in caught.value.remedy


def test_the_published_weights_give_the_golden_answers(real_data):
    path, known = locate_vgg("vgg16", real_data / "weights")
    assert path.name == feature_weights.VGG_FILES["vgg16"][0].file.rsplit("/", 1)[1]
    model = load_vgg("vgg16", path, known)
    golden = np.load(real_data / "weights" / "imagenet" / "golden" / "vgg16_features.npz")
    np.testing.assert_allclose(golden["mean"], known.mean, atol=1e-7)
    layers = {f"relu_{index}": model.names[index] for index in (3, 8, 15, 22, 29)}
    with torch.no_grad():
        answers = model(torch.from_numpy(golden["image"]), tuple(layers.values()))
    for key, layer in layers.items():
        expected = golden[key].astype(np.float32)
        np.testing.assert_allclose(answers[layer].numpy(), expected, atol=2e-3 * expected.max())
