"""Deep dream on the samples themselves, for networks that take a waveform.

"Dreaming in Music" wishes for one-dimensional convolutions on the waveform. The ascent is that of
`ml.generation.deep_dream`, with three differences:

- **Octaves** are sample rates: the excerpt is resampled to rate / scale, so that the network hears
  it higher and faster, and its edit returns as a lower and slower one.
- **Crops** have the length that the network was trained on. They begin at another random sample in
  each step, so that the edges of crops leave no pattern. The excerpt is extended by reflection.
- **Limits.** Gradient ascent on samples finds noise that people hear as hiss and networks as
  anything (Goodfellow et al. 2015). Each step is therefore weighted by the excerpt's own amplitude
  in time and frequency. In each part of the spectrogram the edit stays `below_signal_db` below the
  excerpt, so that the music masks it, and nothing is added where the music has nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from melgraph.ml.audio import resample, to_mono, within_full_scale
from melgraph.ml.errors import UserError
from melgraph.ml.generation.objectives import (
    Dreamer,
    Objective,
    class_logit,
    guide_similarity,
    mean_square,
)
from melgraph.ml.generation.planes import blur, extend
from melgraph.ml.generation.resynthesis import Resynthesis
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.spectral import istft, stft

N_FFT, HOP = 1024, 256  # samples, of the spectrograms that weight and limit an edit
_FULL_SCALE = 32768.0  # of the samples that networks take, as `waveforms` are stored
_QUIETEST = 1e-5  # of the loudest bin: less has no share in an edit


@dataclass(frozen=True)
class WaveformOctave:
    """One octave of a dream: its rate, and the objective before each step and after the last."""

    sample_rate: int
    objective: tuple[float, ...]


@dataclass(frozen=True)
class WaveformDream:
    """The edit of a waveform, and how the objective changed.

    Attributes:
        edit: float32 `[sample]`, to be added to the waveform, full scale 1.0.
        octaves: from low to high sample rates.
        before: the objective of the original waveform.
        after: the objective of the waveform with the edit.
    """

    edit: np.ndarray
    octaves: tuple[WaveformOctave, ...]
    before: float
    after: float


@dataclass(frozen=True)
class WaveformView:
    """How a network on the waveform hears a sound, and how an edit returns to the file.

    Attributes:
        sample_rate: of the network, Hz.
    """

    sample_rate: int

    def waveform(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The excerpt in mono at the rate of the network: float32 `[sample]`.

        Args:
            samples: float32 `[sample]` or `[sample, channel]`.
            sample_rate: Hz.
        """
        return resample(to_mono(samples), sample_rate, self.sample_rate)

    def apply(self, samples: np.ndarray, sample_rate: int, edit: np.ndarray) -> Resynthesis:
        """Add an edit of the waveform to each channel of the sound, at the sound's own rate.

        Args:
            samples: float32 `[sample, channel]`.
            sample_rate: Hz.
            edit: float32 `[sample]`, at the rate of the network.
        """
        at_rate = _fitted(resample(edit, self.sample_rate, sample_rate), len(samples))
        edited = samples.astype(np.float32) + at_rate[:, None]
        fitted, gain = within_full_scale(edited)
        return Resynthesis(samples=fitted, gain=gain, identity_snr_db=float("inf"))


def dream_waveform(
    model: Classifier,
    samples: np.ndarray,
    sample_rate: int,
    *,
    layer: str | None = None,
    guide: np.ndarray | None = None,
    config: DreamConfig,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> WaveformDream:
    """Computes an edit of a waveform by gradient ascent.

    It runs on the device of the model, with a copy of the model in evaluation mode. Of the
    settings, `smallest_octave`, `smoothing`, `keep_level`, `jitter` and those in dB and radians a
    frame are not used.

    Args:
        model: a network that takes waveforms as they are stored: `[batch, 1, 1, sample]`, int16
            steps.
        samples: float32 `[sample]` in mono, at the rate of the network, full scale 1.0.
        sample_rate: of the network, Hz.
        layer: name of a layer in `model.layers()`; not used by the objective `class`.
        guide: float32 `[sample]`: the guide song, used by the objective `guide` only.
        config: the settings.
        seed: of the places where crops begin. The same inputs and seed give the same bytes.
        progress: called with (finished steps, all steps) after each step.

    Raises:
        UserError: the layer or class is unknown, an argument is missing, the network takes no
            waveform, or there is no gradient.
    """
    dreamer, length = Dreamer(model), model.shape.frames
    if model.shape.channels != 1 or model.shape.bins != 1:
        raise UserError(
            f"a network on {model.shape}, not on a waveform",
            where="the experiment of the recipe",
            remedy="name an experiment with the representation waveforms, sample-cnn for example",
        )
    _check(samples, "samples")
    objective = _objective(dreamer, length, layer, guide, config)
    before = _value(objective, _crops(samples, length, dreamer.device))
    rates = _octave_rates(len(samples), sample_rate, length, config)
    n_steps, n_finished = config.steps * len(rates), 0
    rng = np.random.default_rng(seed)
    octaves: list[WaveformOctave] = []
    edit, edit_rate = np.zeros_like(samples), sample_rate
    for rate in rates:
        octave = samples if rate == sample_rate else resample(samples, sample_rate, rate)
        edit = _fitted(resample(edit, edit_rate, rate), len(octave))
        edit_rate, limiter, history = rate, _Limiter(octave, config), []
        for _ in range(config.steps):
            first = int(rng.integers(0, length))
            gradient, value = _gradient(objective, octave + edit, first, length, dreamer.device)
            _check_gradient(gradient, value, rate)
            history.append(value)
            edit = limiter.limit(edit + limiter.step(gradient))
            n_finished += 1
            if progress is not None:
                progress(n_finished, n_steps)
        history.append(_value(objective, _crops(octave + edit, length, dreamer.device)))
        octaves.append(WaveformOctave(rate, tuple(history)))
    after = _value(objective, _crops(samples + edit, length, dreamer.device))
    return WaveformDream(edit.astype(np.float32), tuple(octaves), before, after)


class _Limiter:
    """Weights steps by the excerpt's spectrogram, and keeps an edit below it.

    Args:
        excerpt: float32 `[sample]`.
        config: states how far below.
    """

    def __init__(self, excerpt: np.ndarray, config: DreamConfig) -> None:
        amplitude = stft(excerpt, n_fft=N_FFT, hop=HOP).abs()
        amplitude = blur(amplitude[None, None], 1.0)[0, 0]
        self._amplitude = amplitude * (amplitude > _QUIETEST * amplitude.max())
        self._most = self._amplitude * 10.0 ** (-config.below_signal_db / 20.0)
        self._size = config.step_share * float(np.sqrt(np.mean(np.square(excerpt))))
        self._length = len(excerpt)

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """One step: float32 `[sample]`."""
        spectrum = stft(gradient, n_fft=N_FFT, hop=HOP) * self._amplitude
        weighted = istft(spectrum, n_fft=N_FFT, hop=HOP, length=self._length)
        size = float(np.sqrt(np.mean(np.square(weighted, dtype=np.float64))))
        return weighted * np.float32(self._size / max(size, 1e-30))

    def limit(self, edit: np.ndarray) -> np.ndarray:
        """The edit, quieter where it is not far enough below the excerpt: float32 `[sample]`."""
        spectrum = stft(edit, n_fft=N_FFT, hop=HOP)
        spectrum = spectrum * (self._most / spectrum.abs().clamp_min(1e-12)).clamp_max(1.0)
        return istft(spectrum, n_fft=N_FFT, hop=HOP, length=self._length)


def _objective(
    dreamer: Dreamer,
    length: int,
    layer: str | None,
    guide: np.ndarray | None,
    config: DreamConfig,
) -> Objective:
    needs: dict[str, object] = {"layer": layer}
    if config.objective == "class":
        needs = {"class_index": config.class_index}
    elif config.objective == "guide":
        needs = {"layer": layer, "guide": guide}
    for name, argument in needs.items():
        if argument is None:
            raise UserError(
                f"the objective needs a {name}, which is missing",
                where=f"dream, {name}",
                remedy=f"give {name}, or choose another objective",
            )
    if config.class_index is not None and config.objective == "class":
        return class_logit(dreamer, config.class_index)
    activation = dreamer.activation_of(str(layer))
    if guide is None or config.objective != "guide":
        return mean_square(activation)
    _check(guide, "guide")
    return guide_similarity(activation, _crops(guide, length, dreamer.device))


def _octave_rates(n_samples: int, rate: int, length: int, config: DreamConfig) -> list[int]:
    """Sample rates from low to high, up to that of the network; each has a whole crop."""
    rates = [rate]
    for octave in range(1, config.octaves):
        lower = round(rate / config.octave_scale**octave)
        if n_samples * lower < length * rate:
            break
        rates.insert(0, lower)
    return rates


def _crops(samples: np.ndarray, length: int, device: torch.device) -> torch.Tensor:
    """Consecutive crops that cover a waveform: `[crop, 1, 1, sample]` as networks take them.

    The last one is moved back to end with the waveform; a short waveform is repeated.
    """
    if len(samples) < length:
        samples = np.resize(samples, length)
    starts = [*range(0, len(samples) - length, length), len(samples) - length]
    crops = np.stack([samples[start : start + length] for start in starts])
    return (torch.from_numpy(crops) * _FULL_SCALE)[:, None, None].to(device)


def _gradient(
    objective: Objective, samples: np.ndarray, first: int, length: int, device: torch.device
) -> tuple[np.ndarray, float]:
    """Gradient and value of the objective, with crops from sample `first` of the extended excerpt.

    Returns:
        float32 `[sample]`, and the value.
    """
    variable = torch.from_numpy(samples).to(device).requires_grad_()
    with torch.enable_grad():
        extended = extend(variable.detach(), length)
        extended[length : length + len(samples)] = variable
        count = (len(extended) - first) // length
        crops = extended[first : first + count * length].view(count, 1, 1, length)
        value = objective(crops * _FULL_SCALE)
        (gradient,) = torch.autograd.grad(value, variable)
    return gradient.cpu().numpy(), float(value.detach())


def _value(objective: Objective, crops: torch.Tensor) -> float:
    with torch.no_grad():
        return float(objective(crops))


def _fitted(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut, or extended with zeros, to a length in samples."""
    if len(samples) >= length:
        return samples[:length]
    return np.pad(samples, (0, length - len(samples)))


def _check(samples: np.ndarray, name: str) -> None:
    if samples.ndim != 1 or len(samples) < N_FFT or not np.isfinite(samples).all():
        raise UserError(
            f"a waveform of shape {samples.shape}, too short or not finite",
            where=f"dream, {name}",
            remedy=f"give [at least {N_FFT} samples] in mono, of finite values",
        )


def _check_gradient(gradient: np.ndarray, value: float, rate: int) -> None:
    if np.isfinite(value) and np.isfinite(gradient).all() and gradient.any():
        return
    raise UserError(
        f"the gradient is zero or not finite at the octave of {rate} Hz (objective {value}); "
        "gradient ascent is not possible",
        where="dream",
        remedy="choose another layer or class, fewer octaves, or check the model's training curves",
    )
