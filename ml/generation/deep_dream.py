"""Deep dream: change a spectrogram so that a layer or a class of a network is more active.

The method is gradient ascent on the input (Mordvintsev, Olah and Tyka 2015, "Inceptionism"), at
several sizes, called octaves. It starts with the smallest octave. The edit of each octave is then
enlarged to the next size, where the ascent continues. "Dreaming in Music" raises the L2 norm of the
13th convolution of a ResNet-18, with 6 octaves of scale 1.4 and 20 steps each. Here any layer in
`model.layers()` can be chosen; `ml.specs.methods.dream` says which defaults differ, and why.

The picture may show the amplitude, the phase, or both (`ml.generation.planes`). The result is an
edit, which the picture's view applies to the sound (`ml.generation.views`).

**Ends.** A network responds to the zeros that convolutions add at the ends, and to the step that
appears where a spectrogram is rolled around. Both made the first and the last frames louder. The
excerpt is therefore extended by reflection on both sides, in each octave. The jitter moves the
window that the network sees, and the frames outside of the excerpt are dropped at the end.

**Silence.** Where a spectrogram is at its floor, an edit would raise the objective and change no
sound. Bins more than 80 dB below the loudest one are therefore not edited.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generation.objectives import (
    Dreamer,
    Objective,
    class_logit,
    guide_similarity,
    mean_square,
)
from melgraph.ml.generation.planes import LEAST_CONTEXT, Planes, extend, picture_tensor, resize
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.specs.model_input import AMPLITUDE

T = TypeVar("T")


@dataclass(frozen=True)
class Octave:
    """One octave of a dream: its size, and the objective before each step and after the last.

    The objective is that of the extended excerpt.
    """

    mels: int
    frames: int
    objective: tuple[float, ...]


@dataclass(frozen=True)
class Dream:
    """The edit of a picture, and how the objective changed.

    Attributes:
        edit: float32 `[frame, row]`, to be added to the picture, dB; of a picture with channels
            `[frame, row, plane]`: dB of the amplitude, radians of the turns of the phase.
        octaves: the octaves, from small to large, without those that are too small for the network.
        before: the objective of the original picture, at full size.
        after: the objective of the picture with the edit, at full size.
    """

    edit: np.ndarray
    octaves: tuple[Octave, ...]
    before: float
    after: float

    @property
    def delta_db(self) -> np.ndarray:
        """The edit of a picture of the amplitude: float32 `[frame, row]`, dB."""
        return self.edit


def dream(
    model: Classifier,
    log_mel: np.ndarray,
    *,
    layer: str | None = None,
    guide: np.ndarray | None = None,
    config: DreamConfig,
    seed: int,
    channels: Sequence[str] = (AMPLITUDE,),
    progress: Callable[[int, int], None] | None = None,
) -> Dream:
    """Computes an edit of a picture, a log-mel spectrogram for example, by gradient ascent.

    It runs on the device of the model, with a copy of the model in evaluation mode. The memory
    grows with the number of frames: use an excerpt of a long track.

    Args:
        model: the network. Octaves that are too small for it, for its pooling say, are left out.
        log_mel: float32 `[frame, row]`, dB, of the kind that the network was trained on; or a
            picture of the phase, `[frame, row, channel]`, as `views.ImageView.picture` has it.
        layer: name of a layer in `model.layers()`; not used by the objective `class`.
        guide: the picture of the guide song, used by the objective `guide` only.
        config: the settings.
        seed: of the jitter. The same inputs and seed give the same bytes.
        channels: what the picture shows, `amplitude` or `phase` or both.
        progress: called with (finished steps, all steps) after each step.

    Raises:
        UserError: the layer or class is unknown, the picture is too short for the network, values
            are not finite, or the layer is dead (no activation or no gradient).
    """
    dreamer, planes = Dreamer(model), Planes(channels, config)
    base = picture_tensor(log_mel, planes.n_images, dreamer.n_rows, "log_mel", dreamer.device)
    objective = _objective(dreamer, planes, layer, guide, config)
    before = _initial_value(objective, base, layer, config)
    sizes = _octave_sizes(objective, base, config)
    n_steps, n_finished = config.steps * len(sizes), 0
    rng = np.random.default_rng(seed)
    octaves = []
    edit, audible = base.new_zeros(1, len(planes), *sizes[0]), planes.audible(base)
    context = LEAST_CONTEXT + config.jitter
    extra = context + config.jitter  # frames on each side, so that a window of this context fits
    for size in sizes:
        image, edit = extend(resize(base, size), extra), extend(resize(edit, size), extra)
        inside = slice(extra, extra + size[1])
        editable = extend((resize(audible, size) > 0.5).to(image.dtype), extra)
        history = []
        for _ in range(config.steps):
            first = config.jitter + int(rng.integers(-config.jitter, config.jitter + 1))
            window = slice(first, first + size[1] + 2 * context)
            gradient, value = _gradient(objective, planes, image, edit, window)
            _check_gradient(gradient, value, layer, config, size)
            edit = planes.step(edit, gradient, inside, editable)
            history.append(value)
            n_finished += 1
            if progress is not None:
                progress(n_finished, n_steps)
        history.append(_value(objective, planes.edited(image, edit)))
        edit = edit[..., inside]
        octaves.append(Octave(mels=size[0], frames=size[1], objective=tuple(history)))
    values = edit[0].permute(2, 1, 0).contiguous().cpu().numpy()
    return Dream(
        edit=values[:, :, 0] if log_mel.ndim == 2 else values,
        octaves=tuple(octaves),
        before=before,
        after=_value(objective, planes.edited(base, edit)),  # the last octave is the full size
    )


def objective_value(
    model: Classifier,
    log_mel: np.ndarray,
    *,
    layer: str | None = None,
    guide: np.ndarray | None = None,
    config: DreamConfig,
    channels: Sequence[str] = (AMPLITUDE,),
) -> float:
    """The objective of a picture, for example of the sound that was made from a dream.

    Arguments and errors are those of `dream`.
    """
    dreamer, planes = Dreamer(model), Planes(channels, config)
    objective = _objective(dreamer, planes, layer, guide, config)
    base = picture_tensor(log_mel, planes.n_images, dreamer.n_rows, "log_mel", dreamer.device)
    return _value(objective, base)


def _objective(
    dreamer: Dreamer,
    planes: Planes,
    layer: str | None,
    guide: np.ndarray | None,
    config: DreamConfig,
) -> Objective:
    if config.objective == "class":
        return class_logit(dreamer, _required(config.class_index, "class_index"))
    activation = dreamer.activation_of(_required(layer, "layer"))
    if config.objective == "guide":
        song = _required(guide, "guide")
        shown = picture_tensor(song, planes.n_images, dreamer.n_rows, "guide", dreamer.device)
        return guide_similarity(activation, shown)
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


def _value(objective: Objective, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float(objective(x))


def _gradient(
    objective: Objective,
    planes: Planes,
    image: torch.Tensor,
    edit: torch.Tensor,
    window: slice,
) -> tuple[torch.Tensor, float]:
    """Gradient with respect to the edit, and value of the objective, for a window of frames."""
    variable = edit[..., window].clone().requires_grad_()
    with torch.enable_grad():
        value = objective(planes.edited(image[..., window], variable))
        (inside,) = torch.autograd.grad(value, variable)
    gradient = torch.zeros_like(edit)
    gradient[..., window] = inside
    return gradient, float(value.detach())


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
            _value(objective, resize(base, size))
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
    if config.objective == "layer" and value == 0.0 and config.steps > 0:
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
