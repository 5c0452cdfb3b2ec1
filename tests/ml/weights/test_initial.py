"""Weights from elsewhere: found, checked, adapted, refused. Files are written here, in the formats
that published ones have.
"""

import hashlib
import pickle
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import safetensors.torch
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build
from melgraph.ml.weights import checkpoints
from melgraph.ml.weights import files as weight_files
from melgraph.ml.weights.initial import load_weights, locate_weights
from tests.ml.public_taggers import musicnn, state_of

MEL = InputShape(1, 64, 64)
COLOUR = InputShape(3, 64, 64)


def published(tmp_path: Path, name="resnet18", suffix=".pth", **options) -> Path:
    """What timm or torchvision would publish: a colour network with a head of 1000 classes."""
    import timm

    torch.manual_seed(0)
    body = timm.create_model(name, pretrained=False, **options)
    path = tmp_path / f"published{suffix}"
    if suffix == ".pth":
        torch.save(body.state_dict(), path)
    else:
        safetensors.torch.save_file(body.state_dict(), path)
    return path


def with_hash(path: Path) -> Path:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(path.with_name(f"resnet18-{digest[:8]}{path.suffix}"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_colour_network_becomes_one_of_sound(tmp_path, suffix, channels):
    path = published(tmp_path, suffix=suffix)
    model = build("resnet18", InputShape(channels, 64, 64), n_classes=4)
    head = model.head.weight.clone()
    found = load_weights(model, path)
    source = weight_files.read_weights(path)
    torch.testing.assert_close(model.body.layer1[0].conv1.weight, source["layer1.0.conv1.weight"])
    first = source["conv1.weight"]
    if channels == 1:
        torch.testing.assert_close(model.body.conv1.weight, first.sum(dim=1, keepdim=True))
    assert torch.equal(model.head.weight, head)  # its classes are others
    assert found.missing == ()
    assert set(found.unused) == {"body.fc.weight", "body.fc.bias"}


def test_a_transformer_of_another_image_size(tmp_path):
    path = published(tmp_path, "vit_tiny_patch16_224")
    model = build("vit", MEL, n_classes=4, image_size=[64, 64])
    found = load_weights(model, path)
    assert found.missing == ()
    assert model.body.pos_embed.shape == (1, 17, 192)  # 4 x 4 patches and the class token
    source = weight_files.read_weights(path)
    torch.testing.assert_close(model.body.pos_embed[:, 0], source["pos_embed"][:, 0])


def test_the_body_of_another_experiment(tmp_path):
    meta = {"classes": ["a", "b"], "input": {"representation": "m", "channels": [],
                                             "transform": {}}}  # fmt: skip
    other = build("small_cnn", MEL, n_classes=2, seed=5)
    checkpoints.save(tmp_path / "start", other, meta)
    model = build("small_cnn", MEL, n_classes=7, seed=1)
    head, mean = model.head.weight.clone(), model.mean.clone()
    load_weights(model, tmp_path / "start")
    assert torch.equal(model.hidden.weight, other.hidden.weight)
    assert torch.equal(model.head.weight, head)
    assert torch.equal(model.mean, mean)
    with pytest.raises(UserError, match=r"not those of 'resnet18'(.|\n)*'small_cnn'"):
        load_weights(build("resnet18", MEL, n_classes=2), tmp_path / "start")
    with pytest.raises(UserError, match="tensors do not fit"):
        load_weights(build("small_cnn", MEL, n_classes=2, channels=[4, 8]), tmp_path / "start")


def test_weights_of_another_architecture_name_what_does_not_fit(tmp_path):
    path = published(tmp_path, "resnet34")
    model = build("vit", MEL, n_classes=2, image_size=[64, 64])
    with pytest.raises(UserError, match="it has no body") as caught:
        load_weights(model, path)
    assert "'vit'" in caught.value.what


def test_a_name_with_digits_is_held_against_the_bytes(tmp_path):
    path = with_hash(published(tmp_path))
    assert locate_weights(str(path), "resnet18", {}, tmp_path) == path
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is damaged") as caught:
        locate_weights(str(path), "resnet18", {}, tmp_path)
    told = str(caught.value)
    assert path.name in told
    assert f"{len(content) // 2:,} bytes" in told
    assert "whole" in caught.value.remedy


def test_a_checksum_can_be_given(tmp_path):
    path = published(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert locate_weights(f"{path}#sha256={digest}", "resnet18", {}, tmp_path) == path
    assert locate_weights(path.name, "resnet18", {}, tmp_path) == path  # of the home's folder
    with pytest.raises(UserError, match="is damaged"):
        locate_weights(f"{path}#sha256={'0' * 64}", "resnet18", {}, tmp_path)


class Trap:
    def __reduce__(self):
        return (Path("/tmp/melgraph-trap").touch, ())


def test_a_pickle_is_never_executed(tmp_path):
    path = tmp_path / "hostile.pth"
    torch.save({"weight": torch.zeros(3), "trap": Trap()}, path)
    with pytest.raises(UserError, match=r"hostile.pth .* holds more than weights"):
        weight_files.read_weights(path)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match=r"plain\.pth"):
        weight_files.read_weights(plain)
    assert not Path("/tmp/melgraph-trap").exists()


def test_what_is_no_state_dict(tmp_path):
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(UserError, match="no tensors by name, but list"):
        weight_files.read_weights(path)
    wrapped = tmp_path / "wrapped.pth"
    torch.save({"state_dict": {"module.a": torch.ones(2)}, "epoch": 3}, wrapped)
    assert list(weight_files.read_weights(wrapped)) == ["a"]


def no_network(url, path):
    raise OSError("Name or service not known")


class TestOffline:
    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch):
        monkeypatch.setattr(weight_files, "_download", no_network)

    def test_imagenet_says_which_file_to_put_where(self, tmp_path):
        with pytest.raises(UserError, match="are not here, and cannot be fetched") as caught:
            locate_weights("imagenet", "resnet18", {}, tmp_path / "weights")
        assert "timm/resnet18.a1_in1k" in caught.value.remedy
        assert "resnet18_a1_0-d63eafa0.pth" in caught.value.remedy
        assert str(tmp_path / "weights" / "resnet18.a1_in1k.safetensors") in caught.value.where

    def test_the_default_variant_is_meant_where_a_recipe_names_none(self, tmp_path):
        with pytest.raises(UserError, match=r"vit_tiny_patch16_224\.augreg"):
            locate_weights("imagenet", "vit", {}, tmp_path)

    def test_imagenet_by_hand(self, tmp_path):
        path = published(tmp_path, suffix=".safetensors")
        path = path.rename(tmp_path / "resnet18.a1_in1k.safetensors")
        assert locate_weights("imagenet", "resnet18", {}, tmp_path) == path

    def test_imagenet_of_what_has_none(self, tmp_path):
        with pytest.raises(UserError, match="no ImageNet weights of the architecture 'small_cnn'"):
            locate_weights("imagenet", "small_cnn", {}, tmp_path)

    def test_a_url_and_a_path_that_lead_nowhere(self, tmp_path):
        with pytest.raises(UserError, match="cannot be fetched") as caught:
            locate_weights("https://example.org/a.pth", "resnet18", {}, tmp_path)
        assert str(tmp_path / "a.pth") in caught.value.remedy
        with pytest.raises(UserError, match=r"no file of weights 'gone\.pth'"):
            locate_weights("gone.pth", "resnet18", {}, tmp_path)


class Site(BaseHTTPRequestHandler):
    """Serves `files`, and counts the requests; of `/short/`, less than it announces."""

    files: ClassVar[dict[str, bytes]] = {}
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        content = self.files.get(self.path.rsplit("/", 1)[1])
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write((content or b"")[: -9 if "short" in self.path else None])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(Site, "files", {})
    monkeypatch.setattr(Site, "requests", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class TestFetching:
    def test_a_url_is_fetched_once(self, tmp_path, site):
        path = with_hash(published(tmp_path))
        Site.files[path.name] = path.read_bytes()
        for _ in range(2):
            copy = locate_weights(f"{site}/{path.name}", "resnet18", {}, tmp_path / "weights")
            assert copy.read_bytes() == path.read_bytes()
        assert len(Site.requests) == 1
        assert [file.name for file in (tmp_path / "weights").iterdir()] == [path.name]

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("a-00000000.pth", "is damaged"),
            ("a.pth#sha256=" + "0" * 64, "is damaged"),
            ("short/a.pth", "cannot be fetched"),
            ("gone.pth", "cannot be fetched"),
        ],
    )
    def test_what_is_not_as_published_leaves_no_file(self, tmp_path, site, place, message):
        Site.files.update({"a-00000000.pth": b"x" * 5000, "a.pth": b"x" * 5000})
        with pytest.raises(UserError, match=message):
            locate_weights(f"{site}/{place}", "resnet18", {}, tmp_path / "weights")
        assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "resnet18-5c106cde.truncated.pth",
        "resnet18-f37072fd.truncated.pth",
        "vgg_normalised.truncated.pth",
    ],
)
def test_real_downloads_that_were_cut_short(real_data, name):
    path = real_data / "weights" / "corrupt" / name
    with pytest.raises(UserError) as caught:
        load_weights(build("resnet18", MEL, n_classes=2),
                     locate_weights(str(path), "resnet18", {}, Path("/nowhere")))  # fmt: skip
    assert name in caught.value.what
    assert f"{path.stat().st_size:,} bytes" in caught.value.what
    assert "again, whole" in caught.value.remedy


def test_a_tagger_starts_from_public_weights(tmp_path):
    """All but the head is taken over; dust becomes nothing there too."""
    state = state_of(musicnn(tags=5, back_end=8, hidden=16, timbre=8, rhythm=4))
    state["layer2.conv.weight"][0] = 1e-40
    torch.save(state, tmp_path / "musicnn.pth")
    sizes = {"timbre": 8, "rhythm": 4, "back_end": 8, "hidden": 16}
    model = build("musicnn", InputShape(1, 1, 48000), n_classes=3, **sizes)
    head = model.head.weight.clone()
    loaded = load_weights(model, tmp_path / "musicnn.pth")
    assert loaded.missing == ()
    assert torch.equal(model.head.weight, head)
    assert torch.equal(model.get_submodule("blocks.0.conv").weight, state["layer1.conv.weight"])
    assert not model.get_submodule("blocks.1.conv").weight[0].any()


def test_a_failed_connection_is_reported_in_plain_words(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/weights.pth"  # nobody listens there
        with pytest.raises(UserError, match=r"cannot be fetched \(no connection\)"):
            weight_files.published_file(url, "weights.pth", None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_body_of_published_imagenet_weights_answers_as_the_original(real_data):
    """EfficientNet-Lite 0 from a file of float16 tensors under timm's names: the same logits."""
    folder = real_data / "weights" / "imagenet"
    path = folder / "tf_efficientnet_lite0.safetensors"
    golden = np.load(folder / "golden" / "tf_efficientnet_lite0.npz")
    images = torch.from_numpy(golden["image"].astype(np.float32))
    model = build("efficientnet", InputShape(*images.shape[1:]), n_classes=4).eval()
    half = np.full((3, images.shape[2]), 0.5)
    model.set_normalisation(half, half)
    loaded = load_weights(model, path)
    assert loaded.missing == ()  # the counters of its batch norms are absent, and not needed
    assert set(loaded.unused) == {"body.classifier.weight", "body.classifier.bias"}
    classifier = {k: v.float() for k, v in weight_files.read_weights(path).items() if "class" in k}
    with torch.inference_mode():  # the file's own head on our body
        embedding = model.embed(images)
        logits = embedding @ classifier["classifier.weight"].T + classifier["classifier.bias"]
    np.testing.assert_allclose(logits, golden["logits"], atol=2e-3 * np.abs(golden["logits"]).max())


def test_imagenet_weights_of_efficientnet_are_found_by_hand(tmp_path):
    path = tmp_path / "tf_efficientnet_lite0.in1k.safetensors"
    path.write_bytes(b"")
    assert locate_weights("imagenet", "efficientnet", {}, tmp_path) == path
