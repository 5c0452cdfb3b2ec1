import hashlib
import json

import pytest
import safetensors.torch
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build
from melgraph.ml.weights import checkpoints

META = {
    "classes": ["blues", "jazz", "metal"],
    "input": {
        "representation": "mel_spectrograms",
        "channels": ["amplitude"],
        "transform": {"n_mels": 16, "sample_rate": 22050},
    },
    "note": "ä",
}


def make_model(**options):
    return build(
        "small_cnn",
        InputShape(1, 16, 129),
        n_classes=3,
        channels=(4, 8),
        embedding_dim=6,
        **options,
    )


@pytest.fixture
def folder(tmp_path):
    checkpoints.save(tmp_path / "model", make_model(), META)
    return tmp_path / "model"


def rewrite(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder, *words):
    with pytest.raises(UserError) as caught:
        checkpoints.load(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def test_two_files_and_the_same_bytes_each_time(folder, tmp_path):
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]
    other = tmp_path / "other"
    checkpoints.save(other, make_model(), dict(reversed(META.items())))
    for name in ("model.json", "model.safetensors"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_saving_over_an_earlier_one_replaces_it(folder):
    checkpoints.save(folder, make_model(seed=9), META)
    model, meta = checkpoints.load(folder)
    assert meta == META
    assert torch.equal(model.head.weight, make_model(seed=9).head.weight)


def test_missing_files(folder, tmp_path):
    refused(tmp_path / "nowhere", "model.json", "train the model again")
    (folder / "model.safetensors").unlink()
    refused(folder, "has no model.safetensors")


def test_cut_short(folder):
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(folder, "model.safetensors", f"{size - 100} bytes, not {size}", "cut short")
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text[: len(text) // 2])
    refused(folder, "model.json", "not JSON")


def test_one_flipped_bit(folder):
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    refused(folder, "SHA-256")


def test_weights_of_another_checkpoint(folder, tmp_path):
    checkpoints.save(tmp_path / "b", make_model(seed=4), META)
    (tmp_path / "b" / "model.safetensors").replace(folder / "model.safetensors")
    refused(folder, "SHA-256", "both files together")


def test_description_of_another_architecture_names_the_keys(folder):
    options = make_model().options
    rewrite(folder, options={**options, "channels": [4, 8, 16]})
    refused(folder, "lacks blocks.2.conv.weight", "hidden.weight is (6, 16), not (6, 32)")
    rewrite(folder, options={**options, "channels": [4]})
    refused(folder, "has an unknown blocks.1.conv.weight")
    rewrite(folder, options={**options, "channels": "wide"})
    refused(folder, "no model can be built")
    rewrite(folder, architecture="from_the_future")
    refused(folder, "model.json", "unknown architecture 'from_the_future'")


def test_another_format(folder):
    rewrite(folder, format=checkpoints.TAG_FORMAT + 1)
    refused(folder, f"format {checkpoints.TAG_FORMAT + 1}", "train the model again")


@pytest.mark.parametrize("text", ["[]", '{"format": 2}', '{"format": "1"}', "\x00\xff"])
def test_a_description_that_is_something_else(folder, text):
    (folder / "model.json").write_text(text)
    refused(folder, "model.json cannot be used")


def test_real_looking_weights_that_are_not_safetensors(folder):
    content = b"PK\x03\x04 a pickle in a zip"
    (folder / "model.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(folder, weights={"bytes": len(content), "sha256": digest})
    refused(folder, "not safetensors")


def test_meta_must_fit_the_model(tmp_path):
    for meta in (
        {k: v for k, v in META.items() if k != "classes"},
        {**META, "classes": ["one"]},
        {**META, "input": {"representation": "mfcc"}},
    ):
        with pytest.raises(ValueError, match=r"meta lacks|classes for|meta.input lacks"):
            checkpoints.save(tmp_path / "x", make_model(), meta)
    assert not (tmp_path / "x").exists()


def test_the_weights_open_without_us(folder):
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    assert weights["mean"].shape == (1, 16)
