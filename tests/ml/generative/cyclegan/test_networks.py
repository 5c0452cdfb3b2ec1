"""The networks of a CycleGAN: shapes, gradients, equal bits, and messages."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.cyclegan.networks import (
    LEAST_SIDE,
    STRIDE,
    CycleGan,
    Generator,
    build_discriminators,
    least_side,
)
from melgraph.ml.models.base import InputShape
from tests.ml.generative.cyclegan.toys import GENRES, SIDE, network, striped


def test_images_keep_their_shape_and_range():
    images = torch.rand(2, 1, SIDE, SIDE + 8)
    for towards in (0, 1):
        moved = network().move(images, towards)
        assert moved.shape == images.shape
        assert moved.dtype == torch.float32
        assert float(moved.detach().min()) >= 0
        assert float(moved.detach().max()) <= 1


def test_the_generators_take_the_smallest_side_that_is_stated():
    assert Generator(2, 1)(torch.rand(1, 1, LEAST_SIDE, LEAST_SIDE)).shape[-1] == LEAST_SIDE
    with pytest.raises((RuntimeError, ValueError)):
        Generator(2, 1)(torch.rand(1, 1, LEAST_SIDE - STRIDE, LEAST_SIDE - STRIDE))


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_discriminators_score_patches_of_the_smallest_image(layers):
    side = least_side(layers)
    side += -side % STRIDE
    (first, second) = build_discriminators(network(side=side, discriminator_layers=layers), 0)
    scores = first(torch.rand(1, 1, side, side))
    assert scores.shape[:2] == (1, 1)
    assert scores.numel() >= 1
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)


def test_a_patch_of_three_layers_has_70_pixels():
    first = build_discriminators(network(side=128, discriminator_layers=3), 0)[0].eval()
    for module in first.modules():  # an instance norm looks at the whole image
        if isinstance(module, torch.nn.Sequential):
            for number, layer in enumerate(module):
                if isinstance(layer, torch.nn.InstanceNorm2d):
                    module[number] = torch.nn.Identity()
    image = torch.rand(1, 1, 128, 128, requires_grad=True)
    scores = first(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    touched = image.grad[0, 0].abs().sum(dim=1) > 0
    assert int(touched.sum()) == 70


def test_the_gradient_reaches_every_parameter():
    gan = network()
    discriminators = build_discriminators(gan, 1)
    images = torch.rand(1, 1, SIDE, SIDE)
    total = sum(discriminators[g](gan.move(images, g) * 2 - 1).square().mean() for g in (0, 1))
    total.backward()
    for module in (gan, discriminators):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().max()) > 0, name


def test_equal_seeds_give_equal_weights_and_the_global_state_stays():
    before = torch.get_rng_state()
    (a, b, c) = (network(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    (d, e) = (build_discriminators(network(), 5).state_dict() for _ in range(2))
    assert all(torch.equal(d[name], e[name]) for name in d)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 8, 9, 31, 32, 33, 101])
def test_a_picture_of_any_length_is_translated_deterministically(frames):
    gan, before = network(), torch.get_rng_state()
    gan.train()
    picture = striped(0.5, 0, columns=frames)
    translated = gan.translate(picture, "light")
    assert translated.shape == picture.shape
    assert translated.dtype == np.float32
    assert translated.min() >= 0
    assert translated.max() <= 1
    assert gan.training
    assert gan.translate(picture, "light").tobytes() == translated.tobytes()
    assert gan.translate(picture, "dark").tobytes() != translated.tobytes()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_picture_that_needs_no_frames_is_moved_as_it_is():
    gan, picture = network(), striped(0.5, 0, columns=SIDE)
    with torch.no_grad():
        moved = gan.move(torch.from_numpy(picture.T.copy())[None, None], 1)[0, 0].numpy().T
    np.testing.assert_array_equal(gan.translate(picture, "light"), moved)


def test_a_picture_is_not_changed_and_may_be_a_view():
    picture = striped(0.5, 0, columns=80)
    copy = picture.copy()
    view = picture[::2]
    view.flags.writeable = False
    network().translate(view, "dark")
    np.testing.assert_array_equal(picture, copy)


def test_an_unknown_genre_is_named_with_both_genres():
    with pytest.raises(UserError, match="no genre 'jazz'") as error:
        network().translate(striped(0.5, 0), "jazz")
    assert "dark and light" in str(error.value)


@pytest.mark.parametrize("picture", [np.zeros((0, SIDE)), np.zeros((4, 7)), np.zeros(SIDE)])
def test_a_picture_of_another_shape_is_refused(picture):
    with pytest.raises(ValueError, match=f"{SIDE} row"):
        network().translate(picture.astype(np.float32), "dark")


@pytest.mark.parametrize(
    ("shape", "genres", "options", "message"),
    [
        (InputShape(1, 32, 32), GENRES, {"discriminator_layers": 4}, "set image to at least 48"),
        (InputShape(1, 30, 32), GENRES, {}, "multiple of 4"),
        (InputShape(2, 32, 32), GENRES, {}, "images of the amplitude"),
        (InputShape(1, 32, 32), ("dark",), {}, "two different genres"),
    ],
)
def test_impossible_networks_are_refused_with_a_remedy(shape, genres, options, message):
    with pytest.raises(UserError, match=message):
        CycleGan(shape, genres, **options)
