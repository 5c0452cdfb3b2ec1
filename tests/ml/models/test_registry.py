import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build, names
from melgraph.ml.models.base import bin_statistics
from tests.ml.models.test_conformance import TAKES

MEL = InputShape(1, 128, 129)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'resnet9000'(.|\n)*small_cnn"):
        build("resnet9000", MEL, n_classes=4)


def test_unknown_option_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'chanels'(.|\n)*channels"):
        build("small_cnn", MEL, n_classes=4, chanels=(8, 16))


def test_every_name_builds_with_complete_options():
    for name in names():
        shape = TAKES[name][0][0]
        model = build(name, shape, n_classes=4)
        again = build(name, shape, n_classes=4, **model.options)
        assert again.options == model.options
        assert again.n_parameters == model.n_parameters


def test_small_cnn_options_and_size():
    model = build("small_cnn", MEL, n_classes=10)
    assert 200_000 < model.n_parameters < 500_000
    narrow = build(
        "small_cnn", InputShape(1, 64, 129), n_classes=3, channels=[4, 8], embedding_dim=7
    )
    assert narrow.options["channels"] == [4, 8]
    assert narrow.embedding_dim == 7
    assert list(narrow.layers()) == ["conv1", "conv2"]


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (np.zeros((1, 3)), np.ones((1, 4))),
        (np.zeros(4), np.ones(4)),
        (np.zeros((1, 4)), np.array([[1, 1, 0, 1.0]])),
        (np.array([[0, np.nan, 0, 0]]), np.ones((1, 4))),
    ],
)
def test_bad_normalisation_is_refused(mean, std):
    model = build("small_cnn", InputShape(1, 4, 9), n_classes=2, channels=(2,))
    with pytest.raises(ValueError, match=r"mean|std"):
        model.set_normalisation(mean, std)


def test_bin_statistics_are_those_of_all_frames():
    rng = np.random.default_rng(0)
    tracks = [rng.normal(-30, 12, (n, 6)).astype(np.float16) for n in (5, 90, 33)]
    for track in tracks:
        track[:, 5] = -100  # a band without signal
    mean, std = bin_statistics(tracks)
    frames = np.concatenate(tracks).astype(np.float64)
    np.testing.assert_allclose(mean[0], frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std[0, :5], frames.std(axis=0)[:5], rtol=1e-5)
    assert std[0, 5] == 1.0
    assert mean.dtype == std.dtype == np.float32


def test_bin_statistics_read_a_spread_of_many_tracks():
    tracks = [np.full((2, 3), float(i), dtype=np.float32) for i in range(11)]
    mean, _ = bin_statistics(tracks, max_tracks=3)
    np.testing.assert_allclose(mean, 5.0)  # tracks 0, 5 and 10


def test_bin_statistics_name_a_track_that_is_not_finite():
    tracks = [np.zeros((2, 3), dtype=np.float32) for _ in range(3)]
    tracks[1][1, 1] = np.nan
    with pytest.raises(UserError, match="track 1 of the set"):
        bin_statistics(tracks)


def test_statistics_of_waveforms_and_of_two_channels():
    rng = np.random.default_rng(1)
    wave = rng.integers(-900, 900, 100_000).astype(np.int16)  # longer than what is read at once
    mean, std = bin_statistics([wave, wave[:7]])
    assert mean.shape == std.shape == (1, 1)
    np.testing.assert_allclose(std[0, 0], np.concatenate([wave, wave[:7]]).std(), rtol=1e-5)
    channels = [rng.normal(k, 1 + k, (50, 3)) for k in range(2)]
    mean, std = bin_statistics([np.stack(channels, axis=-1)], least_std=1e-9)
    np.testing.assert_allclose(mean, [c.mean(axis=0) for c in channels], rtol=1e-5)
    np.testing.assert_allclose(std, [c.std(axis=0) for c in channels], rtol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "published"),
    [("resnet18", 11_689_512 - 513_000), ("vit", 5_717_416 - 193_000)],
)
def test_timm_bodies_have_the_parameters_of_their_papers(architecture, published):
    """Table 1 of He et al. and Touvron et al.: 11.7 and 5.7 million with the 1000-class head."""
    model = build(architecture, InputShape(3, 224, 224), n_classes=2,
                  **({"image_size": [224, 224]} if architecture == "vit" else {}))  # fmt: skip
    assert sum(p.numel() for p in model.body.parameters()) == published


def test_the_thirteenth_convolution_of_a_resnet_has_a_name():
    layers = build("resnet18", InputShape(1, 64, 64), n_classes=2).layers()
    assert len(layers) == 17
    assert layers["conv13"].out_channels == 256 or layers["conv13"].out_channels == 512
