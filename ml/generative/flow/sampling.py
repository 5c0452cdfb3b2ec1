"""Compositions: from noise to a log-mel spectrogram of any length, along the flow.

The flow is integrated with Euler steps of equal length, each of which needs one evaluation of the
network. Each of its evaluations is at a time of the grid, where the frames that are already there
are set. Heun's method is more exact for as many evaluations, but it also evaluates the network
between these times, and at t = 1, near which the training draws few times.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from melgraph.ml.errors import UserError
from melgraph.ml.generative.flow.networks import RectifiedFlow

MAX_STEPS = 1000


@dataclass(frozen=True)
class Guide:
    """How samples are drawn.

    Attributes:
        steps: Euler steps from noise to data.
        guidance: weight of the genre (Ho and Salimans 2022): 0 ignores it, 1 uses the network as
            it was trained, and more exaggerates what distinguishes the genre. Every weight besides
            0 and 1 costs a second evaluation of the network per step.
    """

    steps: int
    guidance: float = 1.0


@torch.no_grad()
def integrate(
    network: RectifiedFlow,
    noise: Tensor,
    genres: Tensor,
    guide: Guide,
    known: Tensor | None = None,
) -> Tensor:
    """Move noise to data along the flow.

    Args:
        network: on the device of the noise.
        noise: float32 `[crop, 1, bin, frame]`.
        genres: int64 `[crop]`.
        guide: steps and guidance.
        known: float32 `[crop, 1, bin, known_frame]`, standardised. The first frames are set to
            (1 - t) * noise + t * known before each step, and to `known` at the end.

    Returns:
        float32 `[crop, 1, bin, frame]`, standardised.
    """
    x, n_known = noise.clone(), 0 if known is None else known.shape[3]
    for step in range(guide.steps):
        t = step / guide.steps
        if known is not None:
            x[..., :n_known] = (1 - t) * noise[..., :n_known] + t * known
        x = x + _velocity(network, x, t, genres, guide.guidance) / guide.steps
    if known is not None:
        x[..., :n_known] = known
    return x


def _velocity(
    network: RectifiedFlow, x: Tensor, t: float, genres: Tensor, guidance: float
) -> Tensor:
    times = torch.full((len(x),), t, device=x.device)
    nothing = torch.full_like(genres, network.no_genre)
    with_genre: Tensor = network(x, times, genres) if guidance != 0 else x
    without: Tensor = network(x, times, nothing) if guidance != 1 else x
    if guidance in (0, 1):
        return with_genre if guidance else without
    return without + guidance * (with_genre - without)


def compose(
    network: RectifiedFlow,
    genre: str,
    frames: int,
    *,
    steps: int,
    guidance: float,
    seed: int,
    prompt: np.ndarray | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """A log-mel spectrogram of a genre, of any length.

    The first crop is made from noise. Each further crop overlaps by half with what is already
    there: its first half is set, before each step, to the point of the flow between its noise and
    the frames that are already there. A prompt is continued in the same way. At a
    seam, the levels change more than between other frames.

    Equal arguments give equal bits on one CPU with one number of torch threads. The global random
    state is neither read nor changed.

    Args:
        network: moved to `device`; its weights and its mode do not change.
        genre: one of `network.genres`.
        frames: length of the result.
        steps: Euler steps per crop, 1 to 1000.
        guidance: weight of the genre, from 0; see `Guide`.
        seed: of the noise.
        prompt: `[frame, bin]`, dB: the recording before the first frame of the result, which does
            not contain it. Its last half crop is used.
        device: torch device.

    Returns:
        float32 `[frame, bin]`, dB, within the levels of the training recordings.

    Raises:
        UserError: the network does not know the genre, a number is out of its range, or the prompt
            has other bins or values that are not finite.
    """
    _check(network, genre, frames, steps, guidance)
    network.to(device)
    generator = torch.Generator().manual_seed(seed)
    number = torch.tensor([network.genres.index(genre)], device=device)
    crop = network.shape.frames
    overlap = crop // 2
    past = _prompt(network, prompt, overlap, device)
    pieces: list[Tensor] = []
    n_frames = 0
    while n_frames < frames:
        noise = torch.randn((1, 1, network.shape.bins, crop), generator=generator).to(device)
        crop_values = integrate(network, noise, number, Guide(steps, guidance), past)
        new = network.levels(crop_values[..., 0 if past is None else past.shape[3] :])
        pieces.append(new)
        n_frames += new.shape[3]
        there = network.standardise(new)
        if past is not None:
            there = torch.cat([past, there], dim=3)
        past = there[..., crop - overlap :] if overlap else None
    result: np.ndarray = torch.cat(pieces, dim=3)[0, 0, :, :frames].T.cpu().numpy().copy()
    return result


def _check(network: RectifiedFlow, genre: str, frames: int, steps: int, guidance: float) -> None:
    if genre not in network.genres:
        raise UserError(
            f"the model does not know the genre {genre!r}",
            where="genre of the composition",
            remedy=f"use one of {', '.join(network.genres)}",
        )
    if not 1 <= steps <= MAX_STEPS:
        raise UserError(
            f"{steps} steps are not possible",
            where="steps of the composition",
            remedy=f"use 1 to {MAX_STEPS} steps; 24 to 48 are usual",
        )
    if frames < 1:
        raise UserError(
            f"a composition of {frames} frames is not possible",
            where="length of the composition",
            remedy="use at least 1 frame",
        )
    if not (math.isfinite(guidance) and guidance >= 0):
        raise UserError(
            f"a guidance of {guidance} is not possible",
            where="guidance of the composition",
            remedy="use a number from 0; 1 is the network as it was trained",
        )


def _prompt(
    network: RectifiedFlow, prompt: np.ndarray | None, overlap: int, device: str
) -> Tensor | None:
    """The last frames of the prompt: float32 `[1, 1, bin, frame]`, standardised."""
    if prompt is None or not overlap:
        return None
    bins = network.shape.bins
    if prompt.ndim != 2 or prompt.shape[1] != bins or not len(prompt):
        raise UserError(
            f"the prompt has the shape {prompt.shape}",
            where="prompt of the composition",
            remedy=f"use frames of a log-mel spectrogram [frame, {bins} bin]",
        )
    last = np.ascontiguousarray(prompt[-overlap:].T, np.float32)
    if not np.isfinite(last).all():
        raise UserError(
            "the prompt holds values that are not finite",
            where="prompt of the composition",
            remedy="use frames of a log-mel spectrogram in dB",
        )
    return network.standardise(torch.from_numpy(last)[None, None].to(device))
