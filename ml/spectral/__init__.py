"""From a waveform to spectrograms and back: one STFT, shared by all that is made from it.

>>> import numpy as np
>>> from melgraph.ml.spectral import MelTransform, log_mel, stft
>>> transform = MelTransform()
>>> tone = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32)  # 1 s
>>> log_mel(stft(tone, n_fft=transform.n_fft, hop=transform.hop), transform).shape
(44, 128)
"""

from melgraph.ml.spectral.transforms import (
    FilterBank,
    MelTransform,
    StftStream,
    hann,
    istft,
    log_mel,
    mel_filterbank,
    mel_frequencies,
    power_of,
    spectrum_tiles,
    stft,
)

__all__ = [
    "FilterBank",
    "MelTransform",
    "StftStream",
    "hann",
    "istft",
    "log_mel",
    "mel_filterbank",
    "mel_frequencies",
    "power_of",
    "spectrum_tiles",
    "stft",
]
