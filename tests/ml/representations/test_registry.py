import json
import re
from dataclasses import asdict, fields
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

PINNED = {
    "mel_spectrograms": (
        '{"sample_rate": 22050, "n_fft": 2048, "hop": 512, "n_mels": 128, "f_min": 0.0, '
        '"f_max": 11025.0, "floor_db": -100.0, "window": "hann, periodic", "padding": '
        '"centred, reflect", "mel_scale": "htk", "filter_norm": "none", "unit": "dB of power, '
        're 1.0"}'
    ),
    "stft_spectrograms": (
        '{"sample_rate": 44100, "n_fft": 2048, "hop": 512, "floor_db": -100.0, "window": '
        '"hann, periodic, not normalised", "padding": "centred, reflect", "amplitude": "20 '
        'log10 |D|, at the floor: 0", "amplitude_unit": "dB, re 1.0 (a full-scale sine has |D| '
        '= n_fft / 4)", "phase": "angle of D, -pi to pi", "phase_unit": "radian"}'
    ),
    "mfcc": (
        '{"sample_rate": 22050, "n_fft": 2048, "hop": 512, "n_mels": 128, "f_min": 0.0, '
        '"f_max": 11025.0, "floor_db": -100.0, "window": "hann, periodic", "padding": '
        '"centred, reflect", "mel_scale": "htk", "filter_norm": "none", "unit": "dB of power, '
        're 1.0, times the orthonormal basis", "n_mfcc": 20, "dct": "type II over bands, '
        'orthonormal, the first n_mfcc coefficients", "top_db": "none: floor_db is the only '
        'floor"}'
    ),
    "waveforms": (
        '{"sample_rate": 16000, "channels": "mono", "unit": "1 / 32768 of full scale", '
        '"rounding": "to the nearest, no dither; beyond -32768 and 32767 clipped"}'
    ),
    "audio_features": ('{"harmonic_percussive": false, "tempo": false, "window_s": 600.0}'),
    "waveforms_32k": (
        '{"sample_rate": 32000, "channels": "mono", "unit": "1 / 32768 of full scale", '
        '"rounding": "to the nearest, no dither; beyond -32768 and 32767 clipped"}'
    ),
}


def test_without_a_file_the_defaults_hold(tmp_path):
    representations = load_representations(tmp_path / "none.toml")
    assert representations == {name: transform() for name, transform in TRANSFORMS.items()}


def test_a_file_overrides_key_by_key(tmp_path):
    path = tmp_path / "representations.toml"
    path.write_text(
        "[mel_spectrograms]\nn_mels = 64\nf_max = 8000\n[audio_features]\ntempo = true\n"
    )
    representations = load_representations(path)
    assert representations[MEL] == MelTransform(n_mels=64, f_max=8000)
    assert representations[FEATURES] == FeatureOptions(tempo=True)
    assert representations[MFCC] == TRANSFORMS[MFCC]()


def test_numbers_stay_as_they_are_written(tmp_path):
    """Versions hash the configuration as JSON, where `8000` and `8000.0` differ."""
    path = tmp_path / "representations.toml"
    path.write_text("[mel_spectrograms]\nf_min = 20\nf_max = 8000\nfloor_db = -80.0\n")
    mel = load_representations(path)[MEL]
    assert json.dumps([mel.f_min, mel.f_max, mel.floor_db]) == "[20, 8000, -80.0]"


def test_all_problems_are_in_one_error_with_file_and_key(tmp_path):
    path = tmp_path / "representations.toml"
    path.write_text(
        "[mel_spectrogram]\nhop = 1\n"
        "[mel_spectrograms]\nbands = 3\nn_mels = '64'\nf_max = true\n"
        "[audio_features]\ntempo = 1\n"
        "[stft_spectrograms]\nhop = 4096\n"
        "[waveforms]\nsample_rate = 10\n"
        "[mfcc]\nn_mfcc = 200\nf_min = 9000.0\nf_max = 20000.0\n"
    )
    with pytest.raises(UserError) as caught:
        load_representations(path)
    message = str(caught.value)
    for problem in (
        "mel_spectrogram: no such representation; there are mel_spectrograms, stft_spectrograms",
        "mel_spectrograms.bands: no such key; there are sample_rate, n_fft, hop, n_mels",
        "mel_spectrograms.n_mels: Input should be a valid integer (got '64')",
        "mel_spectrograms.f_max: Input should be a valid number (got True)",
        "audio_features.tempo: Input should be a valid boolean (got 1)",
        "stft_spectrograms.hop: must be at most n_fft = 2048 (got 4096)",
        "waveforms.sample_rate: Input should be greater than or equal to 4000 (got 10)",
        "mfcc.n_mfcc: must be at most n_mels = 128 (got 200)",
        "mfcc.f_max: must be at most 11025.0 Hz, half the sample rate (got 20000.0)",
    ):
        assert f"  - {path}: {problem}" in message
    assert "9 problem(s)" in message


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            "[mel_spectrograms]\nsample_rate = 16000\n",
            "mel_spectrograms.f_max: must be at most 8000",
        ),
        ("[mel_spectrograms]\nf_min = 11025\n", "mel_spectrograms.f_max: must be above f_min"),
        ("[mel_spectrograms]\nn_fft = 256\n", "mel_spectrograms.hop: must be at most n_fft = 256"),
        ("[mfcc]\nn_mels = 10\n", "mfcc.n_mfcc: must be at most n_mels = 10 (got 20)"),
        ("[mfcc]\nf_max = nan\n", "mfcc.f_max: must be above f_min"),
        ("[stft_spectrograms]\nn_fft = 2049\n", "n_fft: Input should be a multiple of 2"),
        ("mfcc = 3\n", "mfcc: Input should be a valid dictionary"),
    ],
)
def test_a_value_must_fit_the_defaults_of_the_other_keys(table, problem, tmp_path):
    path = tmp_path / "representations.toml"
    path.write_text(table)
    with pytest.raises(UserError, match=re.escape(problem)):
        load_representations(path)


def test_the_shipped_configurations_are_those_of_earlier_versions():
    """Versions of artifacts hash these; a difference of one byte makes all of them stale."""
    configurations = {
        name: asdict(how) if name == FEATURES else how.attributes()
        for name, how in load_representations(Path("none.toml")).items()
    }
    assert {name: json.dumps(value) for name, value in configurations.items()} == PINNED


def test_a_file_that_is_no_toml_is_refused(tmp_path):
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
    documented = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| `([^`]+)` \|", section, re.M))
    assert documented == {
        f"{name}.{field.name}": json.dumps(getattr(transform(), field.name))
        for name, transform in TRANSFORMS.items()
        for field in fields(transform)
    }
