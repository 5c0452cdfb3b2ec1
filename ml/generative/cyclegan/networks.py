"""The generators and discriminators of a CycleGAN (Zhu et al. 2017).

The generators follow section 7.2 of "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks": a convolution of 7 x 7, two of stride 2, residual blocks, and back to full
size, with instance norm and reflection padding. Two things differ. Images are enlarged by nearest
neighbours and a convolution, because transposed convolutions leave checkerboards (Odena et al.
2016, "Deconvolution and Checkerboard Artifacts"). Convolutions before an instance norm have no
bias, which the norm would remove.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenerativeNetwork
from melgraph.ml.models.base import InputShape

STRIDE = 4  # of a generator: two convolutions of stride 2
LEAST_SIDE = 8  # reflection by 1 pixel needs 2 pixels after these
_DEVIATION = 0.02  # of the initial weights (Zhu et al. 2017)


class Generator(nn.Module):
    """Moves images towards one genre.

    Args:
        width: channels after the first convolution.
        blocks: residual blocks.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(1, width, 7)]
        for channels in (width, 2 * width):
            layers += _convolution(channels, 2 * channels, 3, stride=2)
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), *_convolution(channels, channels // 2, 3)]
        last = nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect")
        self.layers = nn.Sequential(*layers, last, nn.Tanh())
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Moved images of the shape of the input.

        Args:
            images: float32 `[image, 1, row, column]` in [-1, 1]. Both sides are multiples of
                `STRIDE` and at least `LEAST_SIDE`.
        """
        moved: Tensor = self.layers(images)
        return moved


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3, whose output is added to the input.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = _convolution(channels, channels, 3), _convolution(channels, channels, 3)
        self.layers = nn.Sequential(*first, *second[:-1])  # no ReLU before the sum

    def forward(self, images: Tensor) -> Tensor:
        """Float32 of the shape of the input, `[image, channel, row, column]`."""
        changed: Tensor = images + self.layers(images)
        return changed


class Discriminator(nn.Module):
    """Scores of overlapping patches: 1 for recordings, 0 for generated images (PatchGAN).

    With three layers, a patch has 70 x 70 pixels, as in Zhu et al. 2017.

    Args:
        width: channels of the first convolution.
        layers: convolutions of stride 2.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        built: list[nn.Module] = [nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for number in range(1, layers + 1):
            wider, stride = width * min(2**number, 8), 1 if number == layers else 2
            convolution = nn.Conv2d(channels, wider, 4, stride=stride, padding=1, bias=False)
            built += [convolution, nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)]
            channels = wider
        self.layers = nn.Sequential(*built, nn.Conv2d(channels, 1, 4, padding=1))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Scores, float32 `[image, 1, row, column]` of patches.

        Args:
            images: float32 `[image, 1, row, column]` in [-1, 1].
        """
        scores: Tensor = self.layers(images)
        return scores


class CycleGan(GenerativeNetwork):
    """Two generators, each of which moves images of the amplitude towards one of two genres.

    The discriminators are needed in training only; see `build_discriminators`.

    Args:
        shape: of a crop, which is an image.
        genres: two names.
        width: channels of a generator after its first convolution.
        blocks: residual blocks of a generator.
        discriminator_width: channels of the first convolution of a discriminator.
        discriminator_layers: convolutions of stride 2 of a discriminator.

    Raises:
        UserError: the genres are not two, the images have several channels, or their sides are
            too small or no multiple of `STRIDE`.
    """

    kind: ClassVar[str] = "cyclegan"

    def __init__(
        self,
        shape: InputShape,
        genres: Sequence[str],
        *,
        width: int = 16,
        blocks: int = 4,
        discriminator_width: int = 16,
        discriminator_layers: int = 3,
    ) -> None:
        super().__init__(
            shape,
            genres,
            width=width,
            blocks=blocks,
            discriminator_width=discriminator_width,
            discriminator_layers=discriminator_layers,
        )
        _check(shape, genres, discriminator_layers)
        self.generators = nn.ModuleList(Generator(width, blocks) for _ in genres)

    def move(self, images: Tensor, towards: int) -> Tensor:
        """Images moved towards a genre, with gradients.

        Args:
            images: float32 `[image, 1, row, column]` in [0, 1]; see `Generator.forward`.
            towards: number of the genre.

        Returns:
            float32 of the shape of the input, in [0, 1].
        """
        moved: Tensor = (self.generators[towards](2 * images - 1) + 1) / 2
        return moved

    def translate(self, picture: np.ndarray, towards: str) -> np.ndarray:
        """A picture of any length moved towards a genre.

        Equal pictures give equal bits on one machine with one number of torch threads. The global
        random state does not change. Frames are added at the end by reflection where the
        convolutions need more, and removed from the result.

        Args:
            picture: float32 `[frame, row]` in [0, 1], with at least one frame and `shape.bins`
                rows.
            towards: name of the genre.

        Returns:
            float32 `[frame, row]` in [0, 1], of the shape of the input.

        Raises:
            UserError: the network has no such genre.
            ValueError: the picture has no frame, or another number of rows.
        """
        if towards not in self.genres:
            raise UserError(
                f"the CycleGAN has no genre {towards!r}",
                where="the genre to move a song towards",
                remedy=f"use one of {' and '.join(self.genres)}",
            )
        if picture.ndim != 2 or len(picture) < 1 or picture.shape[1] != self.shape.bins:
            raise ValueError(f"need [frame, {self.shape.bins} row], got {picture.shape}")
        n_frames = len(picture)
        needed = max(LEAST_SIDE, -(-n_frames // STRIDE) * STRIDE)
        padded = np.pad(picture, ((0, needed - n_frames), (0, 0)), mode="reflect")
        columns = torch.from_numpy(np.ascontiguousarray(padded.T, np.float32))[None, None]
        device, was_training = next(self.parameters()).device, self.training
        self.eval()
        try:
            with torch.inference_mode():
                moved = self.move(columns.to(device), self.genres.index(towards))
        finally:
            self.train(was_training)
        translated: np.ndarray = np.ascontiguousarray(moved[0, 0, :, :n_frames].cpu().numpy().T)
        return translated


def build_discriminators(network: CycleGan, seed: int) -> nn.ModuleList:
    """The discriminator of each genre, with initial weights of this seed, in the order of genres.

    The global random state does not change.

    Args:
        network: whose options give the sizes.
        seed: of the weights.
    """
    options = network.options
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.ModuleList(
            Discriminator(options["discriminator_width"], options["discriminator_layers"])
            for _ in network.genres
        )


def least_side(discriminator_layers: int) -> int:
    """The smallest side of an image, in pixels, that generators and discriminators can take."""
    # An instance norm needs more than one value: 2 x 2 after the last norm, 3 x 3 before it.
    return max(LEAST_SIDE, 3 << discriminator_layers)


def _check(shape: InputShape, genres: Sequence[str], discriminator_layers: int) -> None:
    if len(genres) != 2 or len(set(genres)) != 2:
        raise UserError(
            f"a CycleGAN is between two genres, not {len(set(genres))}",
            where="genres",
            remedy="name two different genres",
        )
    if shape.channels != 1:
        raise UserError(
            f"a CycleGAN takes images of one channel, not {shape.channels}",
            where="the input of the CycleGAN",
            remedy="use images of the amplitude",
        )
    side, least = min(shape.bins, shape.frames), least_side(discriminator_layers)
    if side < least:
        raise UserError(
            f"an image with a side of {side} pixels is too small for {discriminator_layers} "
            "convolutions of stride 2",
            where="image and network.discriminator_layers",
            remedy=f"set image to at least {least}, or use fewer discriminator_layers",
        )
    if shape.bins % STRIDE or shape.frames % STRIDE:
        raise UserError(
            f"the sides of an image, {shape.bins} and {shape.frames} pixels, are not multiples of "
            f"{STRIDE}",
            where="image",
            remedy=f"set image to a multiple of {STRIDE}",
        )


def _convolution(inputs: int, outputs: int, side: int, *, stride: int = 1) -> list[nn.Module]:
    """A convolution with reflection padding, an instance norm, and ReLU."""
    convolution = nn.Conv2d(
        inputs,
        outputs,
        side,
        stride=stride,
        padding=side // 2,
        padding_mode="reflect",
        bias=False,
    )
    return [convolution, nn.InstanceNorm2d(outputs), nn.ReLU()]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, _DEVIATION)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
