"""The power of the bins of an STFT from the power of mel bands: a non-negative inverse.

A mel band is the sum of its bins, so many spectra have the same bands. Two ways to choose one:

- `multiplicative`: the non-negative spectrum that has these bands, with the update of Richardson
  and Lucy (D. Lee and H. Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000,
  theorem 2, with fixed filters). It minimises the Kullback-Leibler divergence, in which an error
  counts relative to the power of its band. Least squares would fit the loud bands only.
- `pseudo-inverse`: the spectrum of least energy, with its negative values set to 0.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from melgraph.ml.spectral import FilterBank, MelTransform, mel_filterbank

MelInverse = Literal["multiplicative", "pseudo-inverse"]
UPDATES = 32  # the bands then agree to about 0.2 dB; more updates change the spectrum little
_BLOCK = 512  # frames that are computed together
_TINY = 1e-30


def bin_power(
    mel_power: np.ndarray,
    transform: MelTransform,
    *,
    inverse: MelInverse = "multiplicative",
    updates: int = UPDATES,
) -> np.ndarray:
    """Power spectra that have given mel bands.

    Args:
        mel_power: float32 `[frame, mel]`, not negative.
        transform: states the mel filters.
        inverse: how to choose among the spectra with these bands.
        updates: number of multiplicative updates.

    Returns:
        float32 `[frame, bin]`, not negative; 0 for bins outside of all filters and for silence.
    """
    power = np.empty((len(mel_power), transform.n_fft // 2 + 1), np.float32)
    for start in range(0, len(mel_power), _BLOCK):
        bands = torch.from_numpy(mel_power[start : start + _BLOCK].astype(np.float32))
        if inverse == "pseudo-inverse":
            bins = torch.clamp_min(bands @ _pseudo_inverse(transform), 0.0)
        else:
            bins = _multiplicative(bands, transform, updates)
        power[start : start + _BLOCK] = bins.numpy()
    return power


def _multiplicative(bands: torch.Tensor, transform: MelTransform, updates: int) -> torch.Tensor:
    """Float32 `[frame, mel]` -> float32 `[frame, bin]`, from a start that is smooth over bins."""
    to_bands, to_bins = _filters(transform)
    filters = mel_filterbank(transform)
    per_bin = filters.sum(dim=0).clamp_min(_TINY)
    bins = to_bins(bands / filters.sum(dim=1).clamp_min(_TINY)) / per_bin
    for _ in range(updates):
        ratio = bands / to_bands(bins).clamp_min_(_TINY)
        bins *= to_bins(ratio).div_(per_bin)
    return bins


@lru_cache(maxsize=8)
def _filters(transform: MelTransform) -> tuple[FilterBank, FilterBank]:
    """The sums of bins over bands, and the sums of bands over bins."""
    filters = mel_filterbank(transform)
    return FilterBank(filters.T), FilterBank(filters)


@lru_cache(maxsize=8)
def _pseudo_inverse(transform: MelTransform) -> torch.Tensor:
    """Float32 `[mel, bin]`, computed in float64."""
    inverse: torch.Tensor = torch.linalg.pinv(mel_filterbank(transform).double())
    return inverse.T.float().contiguous()
