"""A style transfer of a picture: what it lowers, what it keeps, and what it refuses."""

import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.generation.style.features import random_features
from melgraph.ml.generation.style_transfer import StyleComparison, transfer_style
from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig
from melgraph.ml.spectral import StftTransform

TRANSFORM = StftTransform(sample_rate=320, n_fft=64, hop=16)  # 20 frames per second
NETWORK = random_features(filters=16, width=5, seed=0, transform=TRANSFORM)
N_BINS = TRANSFORM.n_bins


def picture(seed: int, frames: int = 120) -> np.ndarray:
    """Noise of a level that depends on frequency and pulsates, other for each seed, dB."""
    rng = np.random.default_rng(seed)
    spectrum = np.cumsum(rng.normal(0, 6, N_BINS))
    pulse = 10 * np.sin(2 * np.pi * np.arange(frames) / (8 + 5 * seed))
    noise = rng.normal(0, 3, (frames, N_BINS))
    return (spectrum - spectrum.mean() + pulse[:, None] + noise).astype(np.float32)


def compare(**settings) -> StyleComparison:
    config = StyleTransferConfig(features="random_1d", **settings)
    return StyleComparison(NETWORK, picture(0), picture(1, frames=90), config)


def test_the_style_comes_nearer_and_the_picture_is_source_plus_edit():
    comparison = compare(steps=30, alpha_beta=1e-3)
    transfer = transfer_style(comparison, seed=0)
    assert transfer.losses[-1] < 0.5 * transfer.losses[0]
    assert transfer.ratios.style < 0.5
    np.testing.assert_array_equal(transfer.picture, picture(0) + transfer.delta_db)
    assert np.abs(transfer.delta_db).max() <= transfer.limit_db == 24.0
    assert comparison.ratios(transfer.picture).style == pytest.approx(transfer.ratios.style, 1e-3)


def test_the_source_and_the_guide_are_the_ends_of_both_scales():
    comparison = compare()
    at_source = comparison.ratios(picture(0))
    assert (at_source.content, at_source.style) == (0.0, pytest.approx(1.0))
    same_length = StyleComparison(NETWORK, picture(0), picture(1), StyleTransferConfig())
    at_guide = same_length.ratios(picture(1))
    assert at_guide.content == pytest.approx(1.0)
    assert at_guide.style == pytest.approx(0.0, abs=1e-6)


def test_more_weight_on_the_content_keeps_more_of_it():
    ratios = [
        transfer_style(compare(steps=25, alpha_beta=alpha_beta), seed=0).ratios
        for alpha_beta in (1e-3, 1.0, 100.0)
    ]
    assert ratios[0].content > ratios[1].content > ratios[2].content
    assert ratios[0].style < ratios[1].style < ratios[2].style


def test_the_rhythm_term_keeps_the_rhythm():
    without, with_term = (
        transfer_style(compare(steps=30, alpha_beta=0.0, rhythm=rhythm), seed=0)
        for rhythm in (0.0, 10.0)
    )
    measured = compare(rhythm=1.0)
    assert measured.ratios(with_term.picture).rhythm < 0.5 * measured.ratios(without.picture).rhythm


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_start_at_noise_is_that_of_its_seed(optimiser):
    first, again, other = (
        transfer_style(compare(steps=5, start="noise", optimiser=optimiser), seed=seed)
        for seed in (1, 1, 2)
    )
    assert first.picture.tobytes() == again.picture.tobytes()
    assert first.picture.tobytes() != other.picture.tobytes()
    assert np.abs(first.delta_db).max() <= first.limit_db


def test_progress_is_reported_for_each_gradient():
    calls: list[tuple[int, int]] = []
    transfer = transfer_style(
        compare(steps=7), seed=0, progress=lambda done, total: calls.append((done, total))
    )
    assert [total for _, total in calls] == [7] * len(calls)
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
    assert len(calls) == len(transfer.losses) >= 7


def test_no_steps_change_nothing():
    transfer = transfer_style(compare(steps=0), seed=0)
    np.testing.assert_allclose(transfer.delta_db, 0.0, atol=1e-4)
    assert transfer.losses == ()


@pytest.mark.parametrize(
    ("source", "guide", "message"),
    [
        (picture(0), picture(0), "the guide and the source show the same sound"),
        (np.full((20, N_BINS), -100.0, np.float32), picture(1), "excerpt of the source is silent"),
        (picture(0), np.full((20, N_BINS), -100.0, np.float32), "excerpt of the guide is silent"),
        (picture(0)[:0], picture(1), r"a picture of shape \(0, 33\)"),
        (picture(0)[:, :5], picture(1), r"a picture of shape \(120, 5\)"),
        (picture(0) * np.nan, picture(1), "values that are not finite"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused(source, guide, message):
    with pytest.raises(UserError, match=message):
        StyleComparison(NETWORK, source, guide, StyleTransferConfig(features="random_1d"))


def test_an_unknown_layer_is_refused():
    with pytest.raises(UserError, match="no layer 'conv7'") as caught:
        compare(style_layers=("conv7",))
    assert caught.value.where == "style, style_layers"


def test_a_picture_that_is_too_short_for_the_network_is_refused():
    from melgraph.ml.generation.style.features import vgg_features
    from melgraph.ml.weights.feature_weights import Vgg

    network = vgg_features(Vgg("vgg16", widths=(2, 2, 2, 2, 2)), image=32)
    short = np.random.default_rng(0).normal(0, 5, (7, 32)).astype(np.float32)
    with pytest.raises(UserError, match="cannot take a picture of 32 rows and 7 frames") as caught:
        StyleComparison(network, short, 2 * short, StyleTransferConfig())
    assert "longer excerpt" in caught.value.remedy
