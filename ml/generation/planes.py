"""The planes of an edit, and tensors of pictures: resizing, extending, blurring, one step.

A network sees a picture of one or more channels. An edit has one plane for each array of the STFT
that the picture shows: a change of the amplitude in dB, and a *turn* of the phase in radians. A
turn rotates the arrow (cosine, sine) of the phase difference between two frames, so that the length
of the arrow stays; two independent changes of cosine and sine would leave the circle.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.errors import UserError
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.specs.model_input import AMPLITUDE, IMAGES_OF, PHASE

LEAST_CONTEXT = 24  # frames between the excerpt and the end of what the network sees
AUDIBLE_RANGE_DB = 80.0  # bins further below the loudest one are not edited


class Planes:
    """Which planes an edit has, and how large their steps and values may be.

    Args:
        channels: what the picture shows, in order: `amplitude` or `phase` or both.
        config: the settings of the dream.
    """

    def __init__(self, channels: Sequence[str], config: DreamConfig) -> None:
        self.channels, self._config = tuple(channels), config
        steps = {AMPLITUDE: config.step_size_db, PHASE: config.step_size_rad}
        limits = {AMPLITUDE: config.max_delta_db, PHASE: config.max_turn_rad}
        self._steps = [steps[name] for name in self.channels]
        self._limits = [limits[name] for name in self.channels]

    def __len__(self) -> int:
        return len(self.channels)

    @property
    def n_images(self) -> int:
        """Channels of the picture."""
        return sum(IMAGES_OF[name] for name in self.channels)

    def edited(self, image: torch.Tensor, edit: torch.Tensor) -> torch.Tensor:
        """The picture `[1, channel, row, frame]` with an edit `[1, plane, row, frame]`."""
        parts, first = [], 0
        for number, name in enumerate(self.channels):
            part, change = image[:, first : first + IMAGES_OF[name]], edit[:, number : number + 1]
            first += IMAGES_OF[name]
            if name == AMPLITUDE:
                parts.append(part + change)
                continue
            cosine, sine = part[:, :1], part[:, 1:]
            turn_cosine, turn_sine = change.cos(), change.sin()
            parts += [cosine * turn_cosine - sine * turn_sine]
            parts += [sine * turn_cosine + cosine * turn_sine]
        return torch.cat(parts, dim=1)

    def audible(self, image: torch.Tensor) -> torch.Tensor:
        """1 where an edit can be heard, else 0: float32 `[1, 1, row, frame]`.

        Above the highest frequency of an mp3, for example, a spectrogram is at its floor. A network
        responds to edits there, although they change no sound. A picture of the phase alone does
        not say where that is.
        """
        if AMPLITUDE not in self.channels:
            return torch.ones_like(image[:, :1])
        first = sum(IMAGES_OF[name] for name in self.channels[: self.channels.index(AMPLITUDE)])
        amplitude = image[:, first : first + 1]
        return (amplitude > amplitude.max() - AUDIBLE_RANGE_DB).to(image.dtype)

    def step(
        self, edit: torch.Tensor, gradient: torch.Tensor, inside: slice, editable: torch.Tensor
    ) -> torch.Tensor:
        """The edit after one step of gradient ascent, within the limits.

        Args:
            edit: `[1, plane, row, frame]`.
            gradient: of the objective, of the same shape.
            inside: the frames of the excerpt. The mean size of the step is measured there.
            editable: `[1, 1, row, frame]`, 1 where the picture is edited, else 0.
        """
        direction = blur(gradient, self._config.smoothing) * editable
        if self._config.keep_level:
            direction = (direction - self._levels(direction, inside, editable)) * editable
        changed, share = [], editable[..., inside].mean()
        for number, (size, limit) in enumerate(zip(self._steps, self._limits, strict=True)):
            plane = direction[:, number : number + 1]
            unit = plane * share / plane[..., inside].abs().mean().clamp_min(1e-30)
            changed.append((edit[:, number : number + 1] + size * unit).clamp(-limit, limit))
        return torch.cat(changed, dim=1)

    def _levels(
        self, direction: torch.Tensor, inside: slice, editable: torch.Tensor
    ) -> torch.Tensor:
        """What a step would change on the whole: the level, or the pitch of each row."""
        levels, weights = [], editable[..., inside]
        for number, name in enumerate(self.channels):
            plane = direction[:, number : number + 1, :, inside]
            # the turns of a row add up over time: their mean is a shift of its frequency
            over = (2, 3) if name == AMPLITUDE else (3,)
            count = weights.sum(dim=over, keepdim=True).clamp_min(1.0)
            mean = plane.sum(dim=over, keepdim=True) / count
            levels.append(mean.expand(1, 1, direction.shape[2], 1))
        return torch.cat(levels, dim=1)


def picture_tensor(
    picture: np.ndarray, n_images: int, n_rows: int, name: str, device: torch.device
) -> torch.Tensor:
    """From `[frame, row]` or `[frame, row, channel]` to `[1, channel, row, frame]`, checked.

    Raises:
        UserError: another shape, or values that are not finite.
    """
    wide = picture[:, :, None] if picture.ndim == 2 else picture
    check_picture(wide, n_rows, n_images, where=f"dream, {name}")
    values = torch.from_numpy(np.ascontiguousarray(wide.transpose(2, 1, 0), dtype=np.float32))
    return values[None].to(device)


def check_picture(picture: np.ndarray, n_rows: int, n_images: int = 1, *, where: str) -> None:
    """Check a picture `[frame, row, channel]`, or `[frame, row]` of one channel.

    Args:
        picture: float, any unit.
        n_rows: rows that the network takes.
        n_images: channels that the network takes.
        where: names the picture in messages.

    Raises:
        UserError: another shape, or values that are not finite.
    """
    last = () if picture.ndim == 2 and n_images == 1 else (n_images,)
    if picture.ndim < 2 or len(picture) < 1 or picture.shape[1:] != (n_rows, *last):
        channels = "" if n_images == 1 else f", {n_images} channels"
        raise UserError(
            f"a picture of shape {picture.shape}",
            where=where,
            remedy=f"give [at least 1 frame, {n_rows} rows{channels}], as the network was trained "
            "on",
        )
    if not np.isfinite(picture).all():
        raise UserError(
            f"a picture with {int((~np.isfinite(picture)).sum())} values that are not finite",
            where=where,
            remedy="spectrograms here have a floor in dB; find the step that removed it",
        )


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resizes to (rows, frames), bilinear, with antialiasing; unchanged at its own size."""
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


def extend(values: torch.Tensor, frames: int) -> torch.Tensor:
    """Adds frames before and after the last axis, reflected at its ends, however short it is."""
    indices = np.pad(np.arange(values.shape[-1]), frames, mode="reflect")
    return values[..., torch.from_numpy(indices).to(values.device)]


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of `[1, plane, row, frame]` in both directions, with repeated edges."""
    if sigma == 0.0:
        return image
    radius = int(np.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    planes = image.transpose(0, 1)
    padded = F.pad(planes, (radius, radius, radius, radius), mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return blurred.transpose(0, 1)
