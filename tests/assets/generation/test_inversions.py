"""The sounds of the asset `inversions`: what is written of one, and what people read of it."""

import io

import numpy as np
import pytest
from PIL import Image

from melgraph.assets.generation.inversions import _invert, figures, show
from melgraph.assets.generation.sources import Source
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.methods.inversion import InversionConfig

RATE = 22050
RECIPES = ("inversion", "inversion-mel", "inversion-mfcc")


@pytest.fixture(scope="module")
def source() -> Source:
    seconds = np.arange(RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * (300 * seconds + 200 * seconds**2))
    return Source({"path": "glide.flac"}, tone[:, None].astype(np.float32), RATE, "00" * 32)


def test_the_shipped_recipes_need_no_network_and_are_made_on_request():
    recipes = load_specs().recipes
    representations = [recipes[name].inversion.representation for name in RECIPES]
    assert representations == ["stft_spectrograms", "mel_spectrograms", "mfcc"]
    for name in RECIPES:
        assert recipes[name].experiment is None
        assert not recipes[name].by_default
        assert recipes[name].inversion.overlap == 8


@pytest.mark.parametrize("name", RECIPES)
def test_a_sound_its_picture_and_its_figures(source, name):
    config = load_specs().recipes[name].inversion
    generated = _invert(config, 0, source, None)
    assert generated.samples.shape == source.samples.shape
    assert Image.open(io.BytesIO(generated.picture)).format == "PNG"
    shown = figures(generated.facts)
    assert list(shown) == ["spectral convergence", "log-spectral distance", "SI-SDR"]
    assert all(value.endswith(" dB") for value in shown.values())
    again = _invert(config, 0, source, None)
    assert again.samples.tobytes() == generated.samples.tobytes()
    assert again.facts == generated.facts


def test_silence_has_no_difference(source):
    silence = Source(source.track, np.zeros_like(source.samples), RATE, source.sha256)
    generated = _invert(InversionConfig(), 0, silence, None)
    assert not generated.samples.any()
    assert figures(generated.facts)["spectral convergence"] == "no difference"


def test_the_run_made_a_sound_and_its_files(made_home):
    artifact = made_home.store.need("inversions", "tiny-inversion")
    (sound,) = artifact.facts["sounds"]
    assert set(sound["files"]) == {"original", "inversion", "picture"}
    assert all((artifact.folder / file).is_file() for file in sound["files"].values())
    metadata = show(artifact)
    assert set(metadata) == {"sounds", sound["path"]}
    assert "spectral convergence" in made_home.output_file.read_text()
