import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import zarr

from melgraph import ml
from melgraph.ml.errors import UserError
from melgraph.ml.features.track_features import FeatureOptions
from melgraph.ml.representations.registry import (
    FEATURES,
    KINDS,
    MEL,
    MFCC,
    TRANSFORMS,
    from_attributes,
    load_representations,
)
from melgraph.ml.spectral import MelTransform


def test_without_a_file_the_defaults_hold(tmp_path):
    found = load_representations(tmp_path / "none.toml")
    assert found == {name: transform() for name, transform in TRANSFORMS.items()}


def test_a_file_overrides_key_by_key(tmp_path):
    path = tmp_path / "representations.toml"
    path.write_text(
        "[mel_spectrograms]\nn_mels = 64\nf_max = 8000\n[audio_features]\ntempo = true\n"
    )
    found = load_representations(path)
    assert found[MEL] == MelTransform(n_mels=64, f_max=8000)
    assert found[FEATURES] == FeatureOptions(tempo=True)
    assert found[MFCC] == TRANSFORMS[MFCC]()


def test_all_problems_are_told_at_once(tmp_path):
    path = tmp_path / "representations.toml"
    path.write_text(
        "[mel_spectrogram]\nhop = 1\n"
        "[mel_spectrograms]\nbands = 3\nn_mels = '64'\n"
        "[audio_features]\ntempo = 1\n"
        "[stft_spectrograms]\nhop = 4096\n"
        "[waveforms]\nsample_rate = 10\n"
        "[mfcc]\nn_mfcc = 200\nf_min = 9000.0\nf_max = 20000.0\n"
    )
    with pytest.raises(UserError) as caught:
        load_representations(path)
    said = str(caught.value)
    for part in (
        "[mel_spectrogram] is no representation",
        "mel_spectrograms.bands: no such key; there are sample_rate",
        "mel_spectrograms.n_mels: must be int (got '64')",
        "audio_features.tempo: must be bool (got 1)",
        "stft_spectrograms: hop must be from 1 to n_fft = 2048 (got 4096)",
        "waveforms: sample_rate must be from 4000",
        "mfcc: n_mfcc must not be above n_mels = 128",
        "f_max <= 11025 Hz is needed (got 9000.0, 20000.0)",
        "8 problem(s)",
        str(path),
    ):
        assert part in said, said


def test_a_file_that_is_no_toml_is_told(tmp_path):
    path = tmp_path / "representations.toml"
    path.write_text("[mel")
    with pytest.raises(UserError, match="not readable as TOML"):
        load_representations(path)


@pytest.mark.parametrize("name", KINDS)
def test_the_attributes_of_a_store_are_enough_to_know_the_transform(name, tmp_path):
    transform = TRANSFORMS[name](sample_rate=24000)
    group = zarr.create_group(tmp_path / "store", attributes=transform.attributes())
    assert from_attributes(name, dict(group.attrs)) == transform


def test_the_readme_lists_every_key_with_its_default():
    text = (Path(ml.__file__).parent / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Representations\n")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \|", section, re.M))
    assert told == {
        f"{name}.{field.name}": json.dumps(getattr(transform(), field.name))
        for name, transform in TRANSFORMS.items()
        for field in fields(transform)
    }
