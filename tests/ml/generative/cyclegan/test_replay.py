"""The replay buffer."""

import torch

from melgraph.ml.generative.cyclegan.replay import ReplayBuffer


def image(value: float) -> torch.Tensor:
    return torch.full((1, 1, 2, 2), value)


def test_images_are_returned_until_the_buffer_is_full():
    buffer = ReplayBuffer(3, (1, 2, 2))
    for value in (1.0, 2.0, 3.0):
        assert torch.equal(buffer.exchange(image(value)), image(value))
    assert buffer.images[:, 0, 0, 0].tolist() == [1.0, 2.0, 3.0]


def test_half_of_the_later_images_are_earlier_ones():
    buffer, earlier = ReplayBuffer(3, (1, 2, 2)), 0
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        for value in range(400):
            answer = float(buffer.exchange(image(float(value)))[0, 0, 0, 0])
            earlier += answer != value
            assert answer == value or answer not in buffer.images[:, 0, 0, 0].tolist()
    assert len(buffer.images) == 3
    assert 150 < earlier < 250


def test_without_a_buffer_every_image_is_returned():
    buffer = ReplayBuffer(0, (1, 2, 2))
    assert all(torch.equal(buffer.exchange(image(v)), image(v)) for v in (1.0, 2.0, 3.0))
    assert len(buffer.images) == 0


def test_restored_images_are_a_copy():
    images = torch.rand(2, 1, 2, 2)
    buffer = ReplayBuffer(2, (1, 2, 2))
    buffer.restore(images)
    images.zero_()
    assert float(buffer.images.min()) > 0
