"""Mp3 files in memory: rates, and the alignment of what is decoded."""

import numpy as np
import pytest

from melgraph.ml.generation.mp3 import decode_mp3, encode_mp3, mp3_rate


@pytest.mark.parametrize(("rate", "coded"), [(8000, 8000), (9000, 11_025), (96_000, 48_000)])
def test_a_rate_becomes_one_that_mp3_has(rate, coded):
    assert mp3_rate(rate) == coded


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_decoded_is_aligned_with_the_sound(channels):
    time = np.arange(22_050) / 22_050
    sound = np.stack([0.3 * np.sin(2 * np.pi * 440 * time)] * channels, axis=1).astype(np.float32)
    decoded = decode_mp3(encode_mp3(sound, 22_050, 160), channels)[: len(sound)]
    assert decoded.shape == sound.shape
    assert np.abs(decoded - sound)[1000:-1000].max() < 0.02  # a shift by one sample would be 0.04
