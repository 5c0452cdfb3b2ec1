"""The replay buffer of a discriminator (Shrivastava et al. 2017; Zhu et al. 2017)."""

import torch
from torch import Tensor


class ReplayBuffer:
    """Generated images of earlier steps, so that a discriminator does not forget them.

    Attributes:
        images: float32 `[image, channel, row, column]`, at most `capacity`.

    Args:
        capacity: images that it keeps; 0 returns every image at once.
        shape: `(channel, row, column)` of an image.
        device: torch device.
    """

    def __init__(self, capacity: int, shape: tuple[int, int, int], device: str = "cpu") -> None:
        self.capacity, self.device = capacity, device
        self.images = torch.zeros(0, *shape, device=device)

    def exchange(self, image: Tensor) -> Tensor:
        """An image for the discriminator. It draws from torch's global generator of the CPU.

        Until the buffer is full, this is the image itself, which is stored too. Then, with a
        probability of one half, it is a random stored image, which the new one replaces.

        Args:
            image: `[1, channel, row, column]`, without gradients.
        """
        if len(self.images) < self.capacity:
            self.images = torch.cat([self.images, image])
            return image
        if self.capacity == 0 or float(torch.rand(())) < 0.5:
            return image
        place = int(torch.randint(self.capacity, ()))
        earlier = self.images[place : place + 1].clone()
        self.images[place] = image[0]
        return earlier

    def restore(self, images: Tensor) -> None:
        """Take stored images back, after an interruption."""
        self.images = images.to(self.device).clone()
