"""From a waveform to spectrograms and back: STFT, log-mel spectrogram and MFCC.

One STFT of a signal can serve every representation that is computed from it.

>>> import numpy as np
>>> from melgraph.ml.spectral import MelTransform, log_mel, stft
>>> transform = MelTransform()
>>> tone = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32)  # 1 s
>>> log_mel(stft(tone, n_fft=transform.n_fft, hop=transform.hop), transform).shape
(44, 128)
"""

from melgraph.ml.spectral.mfcc import MfccTransform, log_mel_from_mfcc, mfcc_from_log_mel
from melgraph.ml.spectral.stft_values import (
    StftTransform,
    amplitude_and_phase,
    waveform_from_stft,
)
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
    "MfccTransform",
    "StftStream",
    "StftTransform",
    "amplitude_and_phase",
    "hann",
    "istft",
    "log_mel",
    "log_mel_from_mfcc",
    "mel_filterbank",
    "mel_frequencies",
    "mfcc_from_log_mel",
    "power_of",
    "spectrum_tiles",
    "stft",
    "waveform_from_stft",
]
