"""Style transfer: the content of one song with the style of another one.

Gatys, Ecker and Bethge 2016, "Image style transfer using convolutional neural networks": the input
of a network is changed until its activations are those of the source (content) and the
correlations of its activations are those of the guide (style). Here the input is the log-amplitude
spectrogram. `ml.generation.style.losses` states the distances, `ml.generation.style.features` the
networks.

The result is a picture and its difference from the source, for `View.apply`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from melgraph.ml.errors import UserError
from melgraph.ml.generation.planes import check_picture
from melgraph.ml.generation.style.features import FeatureNetwork
from melgraph.ml.generation.style.losses import Distances, Targets
from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig

Progress = Callable[[int, int], None]
_ADAM_RATE = 0.05  # in units of the range of a bin
_EDGE = 0.98  # of the range: where a start at noise is clipped, so that it has a gradient
_QUIET_DB = 1e-3  # a picture whose values differ by less shows silence


@dataclass(frozen=True)
class Ratios:
    """How far a picture is from its source and from its guide.

    Attributes:
        content: distance from the content of the source, divided by the guide's distance from it:
            0 is the source, 1 is as far away as the guide itself.
        style: distance from the style of the guide, divided by the source's distance from it: 0 is
            the guide's style, 1 is as far away as the source.
        rhythm: relative distance from the rhythm of the source; 0 where it is not compared.
    """

    content: float
    style: float
    rhythm: float


@dataclass(frozen=True)
class StyleTransfer:
    """A picture with the content of one song and the style of another one.

    Attributes:
        picture: float32 `[frame, row]`, dB.
        delta_db: float32 `[frame, row]`, the picture minus that of the source, dB.
        limit_db: no value of `delta_db` is larger, dB.
        losses: the weighted sum of distances at each gradient, in order.
        ratios: of the picture.
    """

    picture: np.ndarray
    delta_db: np.ndarray
    limit_db: float
    losses: tuple[float, ...]
    ratios: Ratios


class StyleComparison:
    """A source and a guide, with which pictures are compared.

    Args:
        network: that defines content and style.
        source: picture of the source, float32 `[frame, row]`, dB.
        guide: picture of the guide, float32 `[frame, row]`, dB; it may have another length.
        config: the settings.

    Raises:
        UserError: an unknown layer; a picture that is silent, not finite, of another shape, or too
            short for the network; or a guide that is the source.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        source: np.ndarray,
        guide: np.ndarray,
        config: StyleTransferConfig,
    ) -> None:
        self.network, self.config = network, config
        content_layers = network.chosen(
            config.content_layers, network.content_layers, "content_layers"
        )
        style_layers = network.chosen(config.style_layers, network.style_layers, "style_layers")
        self._layers = tuple(dict.fromkeys((*content_layers, *style_layers)))
        self.source = self._tensor(source, "source")
        self.guide = self._tensor(guide, "guide")
        if self.source.shape == self.guide.shape and torch.equal(self.source, self.guide):
            raise UserError(
                "the guide and the source show the same sound",
                where="guide",
                remedy="name another song as the guide",
            )
        seconds = len(source) / network.view.frames_per_second if config.rhythm else 0.0
        with torch.no_grad():
            of_source, of_guide = self._activations(self.source), self._activations(self.guide)
            self._targets = Targets(
                of_source,
                of_guide,
                content_layers=content_layers,
                style_layers=style_layers,
                seconds=seconds,
            )
            self._start = self._targets.distances(of_source)
            self._at_guide = self._targets.content_distance(of_guide)
        self._check_start()

    def distances(self, picture: Tensor) -> Distances:
        """The distances of a picture `[row, frame]`, dB."""
        return self._targets.distances(self._activations(picture))

    def loss(self, picture: Tensor) -> Tensor:
        """What the optimisation lowers: alpha / beta * content + style + rhythm."""
        distances, config = self.distances(picture), self.config
        loss = config.alpha_beta * distances.content + distances.style
        return loss + config.rhythm * distances.rhythm if config.rhythm else loss

    def ratios(self, picture: np.ndarray) -> Ratios:
        """How far a picture `[frame, row]` in dB is from source and guide."""
        with torch.no_grad():
            distances = self.distances(self._tensor(picture, "picture"))
        return Ratios(
            content=float(distances.content) / max(float(self._at_guide), 1e-20),
            style=float(distances.style) / float(self._start.style),
            rhythm=float(distances.rhythm),
        )

    @cached_property
    def limits_db(self) -> tuple[Tensor, Tensor]:
        """The middle `[row, frame]` and half the width of the range of each bin, dB."""
        if self.config.start == "content":
            return self.source, self.source.new_tensor(self.config.max_delta_db)
        values = torch.cat([self.source.flatten(), self.guide.flatten()])
        low, high = values.min(), values.max()
        return ((low + high) / 2).expand_as(self.source), (high - low) / 2

    def first_picture(self, seed: int) -> Tensor:
        """Where the optimisation starts: the source, or noise with its mean spectrum."""
        if self.config.start == "content":
            return self.source
        drawn = np.random.default_rng(seed).standard_normal(self.source.shape, dtype=np.float32)
        noise = torch.from_numpy(drawn).to(self.source.device)
        spread = self.source.std(dim=1, keepdim=True, correction=0)
        return self.source.mean(dim=1, keepdim=True) + spread * noise

    def _activations(self, picture: Tensor) -> dict[str, Tensor]:
        try:
            return dict(self.network.compute(picture, self._layers))
        except (RuntimeError, ValueError) as refusal:
            raise UserError(
                f"{self.network.name} cannot take a picture of {picture.shape[0]} rows and "
                f"{picture.shape[1]} frames: {str(refusal).splitlines()[0]}",
                where="style, features",
                remedy="use a longer excerpt, or layers nearer to the input",
            ) from refusal

    def _tensor(self, picture: np.ndarray, name: str) -> Tensor:
        """From `[frame, row]` to `[row, frame]` on the device of the network, checked."""
        check_picture(picture, len(self.network.view.frequencies), where=f"style transfer, {name}")
        if name != "picture" and float(np.ptp(picture)) < _QUIET_DB:
            raise UserError(
                f"the excerpt of the {name} is silent",
                where=f"style transfer, {name}",
                remedy="choose another excerpt with start_s or guide_start_s, or another song",
            )
        values = torch.from_numpy(np.ascontiguousarray(picture.T, dtype=np.float32))
        return values.to(self.network.device)

    def _check_start(self) -> None:
        style = float(self._start.style)
        if not np.isfinite(style):
            raise _no_gradient(f"the distance of the styles is {style}")
        if style == 0.0:
            raise _no_gradient("the style layers are equal for source and guide")


def transfer_style(
    comparison: StyleComparison, *, seed: int, progress: Progress | None = None
) -> StyleTransfer:
    """The picture with the smallest loss that the optimisation reaches.

    Each bin stays in its range: it is the hyperbolic tangent of an unbounded number. The same
    inputs and seed give the same bytes on a CPU with the same number of threads.

    Args:
        comparison: of the source and the guide.
        seed: of the noise, for a start at noise.
        progress: called with (computed gradients, all gradients) after each one.

    Raises:
        UserError: the gradient is zero everywhere, or not finite.
    """
    config = comparison.config
    middle, half_width = comparison.limits_db
    start = ((comparison.first_picture(seed) - middle) / half_width).clamp(-_EDGE, _EDGE)
    position = torch.atanh(start).requires_grad_()
    scale = position.numel()  # or L-BFGS takes the curvature of a long vector for rounding errors
    losses: list[float] = []
    best = position.detach().clone()

    def step() -> Tensor:
        nonlocal best
        loss = comparison.loss(middle + half_width * torch.tanh(position))
        (gradient,) = torch.autograd.grad(loss, position)
        position.grad = gradient * scale
        losses.append(float(loss.detach()))
        _check_gradient(gradient, losses[-1])
        if losses[-1] <= min(losses):
            best = position.detach().clone()
        if progress is not None:
            progress(len(losses), config.steps)
        return loss.detach() * scale

    with torch.enable_grad():
        _optimise(position, step, config)
    picture = (middle + half_width * torch.tanh(best)).T.contiguous().cpu().numpy()
    source = comparison.source.T.contiguous().cpu().numpy()
    limit_db = config.max_delta_db if config.start == "content" else 2.0 * float(half_width)
    delta_db = np.clip(picture - source, -limit_db, limit_db)
    return StyleTransfer(
        source + delta_db, delta_db, limit_db, tuple(losses), comparison.ratios(picture)
    )


def _optimise(position: Tensor, step: Callable[[], Tensor], config: StyleTransferConfig) -> None:
    """Calls `step`, which computes a gradient, as often as the settings say."""
    if config.steps == 0:
        return
    if config.optimiser == "adam":
        adam = torch.optim.Adam([position], lr=_ADAM_RATE)
        for _ in range(config.steps):
            adam.step(step)
        return
    lbfgs: Any = torch.optim.LBFGS(
        [position],
        max_iter=config.steps,
        max_eval=config.steps,
        history_size=10,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    lbfgs.step(step)


def _check_gradient(gradient: Tensor, loss: float) -> None:
    if not (np.isfinite(loss) and bool(torch.isfinite(gradient).all())):
        raise _no_gradient(f"the gradient is not finite (loss {loss})")
    if not bool(gradient.any()) and loss > 0.0:
        raise _no_gradient("the gradient is zero everywhere")


def _no_gradient(problem: str) -> UserError:
    return UserError(
        f"{problem}; a style transfer is not possible",
        where="style transfer, layers",
        remedy="choose other layers or other features, or check the training curves of the model",
    )
