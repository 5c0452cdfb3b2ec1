"""Deep dream: change a spectrogram so that a layer or a class of a network is more active.

The method is gradient ascent on the input (Mordvintsev, Olah and Tyka 2015, "Inceptionism"), at
several sizes, called octaves. It starts with the smallest octave. The edit of each octave is then
enlarged to the next size, where the ascent continues. "Dreaming in Music" raises the L2 norm of the
13th convolution of a ResNet-18, with 6 octaves of scale 1.4 and 20 steps each. Here any layer in
`model.layers()` can be chosen; `ml.specs.methods.dream` says which defaults differ, and why.

The result is an edit, `delta_db`, for `ml.generation.resynthesis.apply_mel_delta`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.errors import UserError
from melgraph.ml.generation.objectives import (
    Dreamer,
    Objective,
    class_logit,
    guide_similarity,
    mean_square,
)
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.methods.dream import DreamConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Octave:
    """One octave of a dream: its size, and the objective before each step and after the last."""

    mels: int
    frames: int
    objective: tuple[float, ...]


@dataclass(frozen=True)
class Dream:
    """The edit of a spectrogram, and how the objective changed.

    Attributes:
        delta_db: float32 `[frame, mel]`, to be added to the log-mel spectrogram, dB.
        octaves: the octaves, from small to large, without those that are too small for the network.
        before: the objective of the original spectrogram, at full size.
        after: the objective of the spectrogram with the edit, at full size.
    """

    delta_db: np.ndarray
    octaves: tuple[Octave, ...]
    before: float
    after: float


def dream(
    model: Classifier,
    log_mel: np.ndarray,
    *,
    layer: str | None = None,
    guide: np.ndarray | None = None,
    config: DreamConfig,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Dream:
    """Computes an edit of a log-mel spectrogram by gradient ascent.

    It runs on the device of the model, with a copy of the model in evaluation mode. The memory
    grows with the number of frames: use an excerpt of a long track.

    Args:
        model: the network. Octaves that are too small for it, for its pooling say, are left out.
        log_mel: float32 `[frame, mel]`, dB, of the kind that the network was trained on.
        layer: name of a layer in `model.layers()`; not used by the objective `class`.
        guide: float32 `[frame, mel]`, dB: the guide song, used by the objective `guide` only.
        config: the settings.
        seed: of the jitter. The same inputs and seed give the same bytes.
        progress: called with (finished steps, all steps) after each step.

    Raises:
        UserError: the layer or class is unknown, the spectrogram is too short for the network,
            values are not finite, or the layer is dead (no activation or no gradient).
    """
    dreamer = Dreamer(model)
    base = _to_tensor(log_mel, dreamer, "log_mel")
    objective = _objective(dreamer, layer, guide, config)
    before = _initial_value(objective, base, layer, config)
    sizes = _octave_sizes(objective, base, config)
    n_steps, n_finished = config.steps * len(sizes), 0
    rng = np.random.default_rng(seed)
    octaves = []
    delta = base.new_zeros(1, 1, *sizes[0])
    for size in sizes:
        image = _resize(base, size)
        delta = _resize(delta, size)
        history = []
        for _ in range(config.steps):
            shift = int(rng.integers(-config.jitter, config.jitter + 1))
            gradient, value = _gradient(objective, image + delta, shift=shift)
            _check_gradient(gradient, value, layer, config, size)
            delta = _step(delta, gradient, config)
            history.append(value)
            n_finished += 1
            if progress is not None:
                progress(n_finished, n_steps)
        history.append(_value(objective, image + delta))
        octaves.append(Octave(mels=size[0], frames=size[1], objective=tuple(history)))
    return Dream(
        delta_db=delta[0, 0].T.contiguous().cpu().numpy(),
        octaves=tuple(octaves),
        before=before,
        after=octaves[-1].objective[-1],  # the last octave is the full size
    )


def objective_value(
    model: Classifier,
    log_mel: np.ndarray,
    *,
    layer: str | None = None,
    guide: np.ndarray | None = None,
    config: DreamConfig,
) -> float:
    """The objective of a spectrogram, for example of the sound that was made from a dream.

    Arguments and errors are those of `dream`.
    """
    dreamer = Dreamer(model)
    objective = _objective(dreamer, layer, guide, config)
    return _value(objective, _to_tensor(log_mel, dreamer, "log_mel"))


def _objective(
    dreamer: Dreamer, layer: str | None, guide: np.ndarray | None, config: DreamConfig
) -> Objective:
    if config.objective == "class":
        return class_logit(dreamer, _required(config.class_index, "class_index"))
    activation = dreamer.activation_of(_required(layer, "layer"))
    if config.objective == "guide":
        return guide_similarity(activation, _to_tensor(_required(guide, "guide"), dreamer, "guide"))
    return mean_square(activation)


def _required(value: T | None, name: str) -> T:
    """An argument that the configured objective needs."""
    if value is None:
        raise UserError(
            f"the objective needs a {name}, which is missing",
            where=f"dream, {name}",
            remedy=f"give {name}, or choose another objective",
        )
    return value


def _to_tensor(log_mel: np.ndarray, dreamer: Dreamer, name: str) -> torch.Tensor:
    """From `[frame, mel]` to `[1, 1, mel, frame]` on the model's device, checked."""
    shape = log_mel.shape
    if len(shape) != 2 or shape[0] < 1 or shape[1] != dreamer.n_mels:
        raise UserError(
            f"a spectrogram of shape {shape}",
            where=f"dream, {name}",
            remedy=f"give [at least 1 frame, {dreamer.n_mels} mel], as the model was trained on",
        )
    if not np.isfinite(log_mel).all():
        raise UserError(
            f"a spectrogram with {int((~np.isfinite(log_mel)).sum())} values that are not finite",
            where=f"dream, {name}",
            remedy="log-mel spectrograms here have a floor in dB; find the step that removed it",
        )
    values = torch.from_numpy(np.ascontiguousarray(log_mel.T, dtype=np.float32))
    return values[None, None].to(dreamer.device)


def _value(objective: Objective, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float(objective(x))


def _gradient(
    objective: Objective, image: torch.Tensor, *, shift: int
) -> tuple[torch.Tensor, float]:
    """Gradient and value of the objective for an image that is rolled by `shift` frames."""
    rolled = torch.roll(image, shift, dims=3).requires_grad_()
    with torch.enable_grad():
        value = objective(rolled)
        (gradient,) = torch.autograd.grad(value, rolled)
    return torch.roll(gradient, -shift, dims=3), float(value.detach())


def _step(delta: torch.Tensor, gradient: torch.Tensor, config: DreamConfig) -> torch.Tensor:
    """One step of gradient ascent of mean size `step_size_db`, clipped to +- `max_delta_db`."""
    direction = _blur(gradient, config.smoothing)
    if config.keep_level:
        direction = direction - direction.mean()
    direction = direction / direction.abs().mean().clamp_min(1e-30)
    limit = config.max_delta_db
    return (delta + config.step_size_db * direction).clamp(-limit, limit)


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of `[1, 1, mel, frame]` in both directions, with repeated edges."""
    if sigma == 0.0:
        return image
    radius = int(np.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))


def _resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resizes to (mels, frames), bilinear, with antialiasing; unchanged at its own size."""
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


def _octave_sizes(
    objective: Objective, base: torch.Tensor, config: DreamConfig
) -> list[tuple[int, int]]:
    """Sizes (mels, frames) that the network accepts, small to large, up to that of the input."""
    mels, frames = base.shape[2:]
    sizes = [(mels, frames)]
    for octave in range(1, config.octaves):
        ratio = config.octave_scale**octave
        size = (round(mels / ratio), round(frames / ratio))
        if min(size) < config.smallest_octave:
            break
        try:
            _value(objective, _resize(base, size))
        except (
            RuntimeError,
            ValueError,
        ):  # too small for its pooling, which only the network knows
            break
        sizes.insert(0, size)
    return sizes


def _initial_value(
    objective: Objective, base: torch.Tensor, layer: str | None, config: DreamConfig
) -> float:
    """The objective of the original spectrogram, or an error that says why there is none."""
    mels, frames = base.shape[2:]
    try:
        value = _value(objective, base)
    except RuntimeError as refusal:
        raise UserError(
            f"the model cannot read {frames} frames of {mels} mel bands: {refusal}",
            where="dream, log_mel",
            remedy="give a longer excerpt",
        ) from refusal
    if not np.isfinite(value):
        raise _no_gradient_error(f"the objective is {value}", layer, config)
    if config.objective == "layer" and value == 0.0:
        raise _no_gradient_error(
            "the layer is dead: its activation is zero everywhere", layer, config
        )
    return value


def _check_gradient(
    gradient: torch.Tensor,
    value: float,
    layer: str | None,
    config: DreamConfig,
    size: tuple[int, int],
) -> None:
    at = f"at the octave of {size[0]} mel bands x {size[1]} frames"
    if not (np.isfinite(value) and bool(torch.isfinite(gradient).all())):
        raise _no_gradient_error(
            f"the gradient is not finite {at} (objective {value})", layer, config
        )
    if not bool(gradient.any()):
        raise _no_gradient_error(f"the gradient is zero everywhere {at}", layer, config)


def _no_gradient_error(problem: str, layer: str | None, config: DreamConfig) -> UserError:
    target = f"class {config.class_index}" if config.objective == "class" else f"layer {layer!r}"
    return UserError(
        f"{problem}; gradient ascent is not possible",
        where=f"dream, {target}",
        remedy="choose another layer or class, fewer octaves, or check the model's training curves",
    )
