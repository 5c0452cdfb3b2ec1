"""A new phase for a sound whose amplitudes are new: the old phase belongs to the old ones."""

import numpy as np
import torch

from melgraph.ml.generation.inversion import OVERLAP, invert
from melgraph.ml.generation.resynthesis import native_window
from melgraph.ml.spectral import StftTransform, istft, stft


def renew_phase(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The sound with the amplitudes of its STFT, and a phase that is computed from these.

    The phase is that of the mean of all channels, so that the stereo image is preserved. It is
    estimated by phase gradient heap integration and fast Griffin-Lim (`ml.generation.inversion`).

    Args:
        samples: float32 `[sample, channel]`.
        sample_rate: Hz.

    Returns:
        float32 `[sample, channel]`.
    """
    n_fft, _ = native_window(StftTransform(), sample_rate)  # 46 ms
    hop = n_fft // OVERLAP
    length = len(samples)
    mono = stft(samples.mean(axis=1), n_fft=n_fft, hop=hop).abs().T.numpy()
    inverted = invert(mono, n_fft=n_fft, hop=hop, length=length)
    phase = torch.angle(stft(inverted, n_fft=n_fft, hop=hop))
    renewed = np.empty_like(samples, dtype=np.float32)
    for channel in range(samples.shape[1]):
        amplitude = stft(samples[:, channel], n_fft=n_fft, hop=hop).abs()
        spectrum = torch.polar(amplitude, phase)
        renewed[:, channel] = istft(spectrum, n_fft=n_fft, hop=hop, length=length)
    return renewed
