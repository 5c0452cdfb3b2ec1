"""Augmentation of training crops, on the device they are on.

Most augmentations respect time: they change the whole crop alike, as another recording, key or
player would, and keep the order of events.

- `equaliser`: a smooth gain over the bands, as another microphone, room or master would give;
- `transpose`: the whole crop some bands up or down, as in another key;
- `tempo`: the whole crop played slower, as another player would;
- `specaugment`: masks over time and over bands (Park et al. 2019);
- `mixup`: a blend of two crops (Zhang et al. 2018).

`image` is the recipe of computer vision, as a negative control: its flips reverse time and swap
bass and treble.

All random numbers come from torch's generator of the device, so a seeded loop is repeatable.
"""

from collections.abc import Callable

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.specs.training import TrainingConfig

EQUALISER_DB, EQUALISER_KNOTS = 6.0, 6  # largest gain at a knot; knots over all bands
TRANSPOSE_BANDS = 3  # of 128 HTK bands: about two semitones at 1 kHz
SLOWEST = 0.85  # of the tempo
ROTATION, LEAST_SIDE = 0.15, 0.7  # radians; of a random resized crop


def augment(
    x: Tensor, targets: Tensor, config: TrainingConfig, *, mean: Tensor, n_classes: int
) -> tuple[Tensor, Tensor]:
    """Augmented crops and their targets.

    Args:
        x: float32 `[batch, channel, bin, frame]`, as stored.
        targets: int64 `[batch]`, or float32 `[batch, class]` of tags.
        config: `augment` names the augmentations, in this order.
        mean: float32 `[channel, bin]` of the training tracks: the value of what is masked or comes
            from outside the crop, which is 0 once normalised.
        n_classes: of the model.

    Returns:
        Crops of the same shape; the targets, or float32 `[batch, class]` where mixed.
    """
    centred = mean[:, :, None]
    for name in config.augment:
        if name == "mixup":
            x, targets = mixup(x, targets, alpha=config.mixup_alpha, n_classes=n_classes)
        elif name == "specaugment":
            x = specaugment(x, centred, frames=config.time_mask_frames, bands=config.mel_mask_bands)
        else:
            x = _BY_NAME[name](x, centred)
    return x, targets


def specaugment(x: Tensor, mean: Tensor, *, frames: int, bands: int) -> Tensor:
    """One time and one frequency mask per crop (Park et al. 2019, section 2).

    Args:
        x: `[batch, channel, bin, frame]`.
        mean: `[channel, bin, 1]`: what masked values become.
        frames: most frames of a time mask; 0 for none.
        bands: most bands of a frequency mask; 0 for none.
    """
    if frames == 0 and bands == 0:
        return x
    x = x - mean
    for axis, width in ((3, frames), (2, bands)):
        width = min(width, x.shape[axis] // 2)  # never most of a short crop
        if width > 0:
            x = torchaudio.functional.mask_along_axis_iid(
                x, mask_param=width, mask_value=0.0, axis=axis
            )
    return x + mean


def mixup(x: Tensor, targets: Tensor, *, alpha: float, n_classes: int) -> tuple[Tensor, Tensor]:
    """Each crop blended with another of the batch, and its target with the other's.

    A tag that only one of the two has becomes that one's share (as in PANNs, Kong et al. 2020).

    Zhang et al. 2018, "mixup: beyond empirical risk minimization": shares from Beta(alpha, alpha).
    Blended as stored: a mean of decibels, as audio taggers blend log-mel spectrograms. The sum of
    two sounds would be the sum of powers, in which the louder one all but hides the other.
    """
    ones = torch.full((len(x), 2), alpha, device=x.device)
    share = torch._sample_dirichlet(ones)[:, 0]  # Beta(alpha, alpha), from torch's generator
    other = torch.randperm(len(x), device=x.device)
    blend = share[:, None, None, None]
    one_hot = F.one_hot(targets, n_classes).float() if targets.ndim == 1 else targets
    mixed = share[:, None] * one_hot + (1 - share[:, None]) * one_hot[other]
    return blend * x + (1 - blend) * x[other], mixed


def equaliser(x: Tensor, mean: Tensor) -> Tensor:
    """A smooth random gain over the bands, the same in every frame of a crop, dB.

    As another microphone, room or master would colour the whole recording; the genre stays.
    """
    knots = torch.empty(len(x), 1, EQUALISER_KNOTS, device=x.device)
    knots.uniform_(-EQUALISER_DB, EQUALISER_DB)
    gains = F.interpolate(knots, size=x.shape[2], mode="linear", align_corners=True)
    return x + gains[..., None]


def transpose(x: Tensor, mean: Tensor) -> Tensor:
    """The whole crop up or down by the same whole number of mel bands, as in another key.

    The rhythm does not change. Bands that come from outside are the mean.
    """
    shift = torch.randint(-TRANSPOSE_BANDS, TRANSPOSE_BANDS + 1, (len(x),), device=x.device)
    source = torch.arange(x.shape[2], device=x.device)[None] - shift[:, None]  # [batch, bin]
    inside = (source >= 0) & (source < x.shape[2])
    rows = source.clamp(0, x.shape[2] - 1)[:, None, :, None].expand_as(x)
    return torch.where(inside[:, None, :, None], x.gather(2, rows), mean.expand_as(x))


def tempo(x: Tensor, mean: Tensor) -> Tensor:
    """The crop played slower, by up to 15 %, around a random place; pitch and order stay.

    It cannot be played faster, as the crop does not hold the frames that would follow. For the
    network the difference is the same: the other crops are faster.
    """
    n = x.shape[3]
    speed = torch.empty(len(x), 1, device=x.device).uniform_(SLOWEST, 1.0)
    start = torch.rand(len(x), 1, device=x.device) * (1 - speed) * (n - 1)
    at = start + speed * torch.arange(n, device=x.device)  # [batch, frame], ascending, in the crop
    left = at.floor().clamp(0, max(0, n - 2)).long()
    share = (at - left)[:, None, None, :]
    before = left[:, None, None, :].expand_as(x)
    after = (before + 1).clamp(max=n - 1)
    return x.gather(3, before) * (1 - share) + x.gather(3, after) * share


def image(x: Tensor, mean: Tensor) -> Tensor:
    """Flips, a small rotation and a resized crop, as for photographs: the negative control."""
    n = len(x)
    flips = torch.randint(0, 2, (2, n), device=x.device) * 2.0 - 1.0
    side = torch.empty(n, device=x.device).uniform_(LEAST_SIDE, 1.0)
    angle = torch.empty(n, device=x.device).uniform_(-ROTATION, ROTATION)
    offset = torch.empty(2, n, device=x.device).uniform_(-1, 1) * (1 - side)
    rows = [
        torch.stack([side * flips[0] * angle.cos(), -side * angle.sin(), offset[0]], dim=1),
        torch.stack([side * angle.sin(), side * flips[1] * angle.cos(), offset[1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x - mean, grid, align_corners=False) + mean


_BY_NAME: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "equaliser": equaliser,
    "transpose": transpose,
    "tempo": tempo,
    "image": image,
}
