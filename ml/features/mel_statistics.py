"""Mean and standard deviation of each mel band: a description of timbre without any training."""

import numpy as np


def mel_statistics(spectrogram: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each mel band.

    Args:
        spectrogram: log-mel `[frame, mel]`, dB, at least one frame.

    Returns:
        float32 `[2 * mel]`, dB: all means, then all deviations.
    """
    wide = spectrogram.astype(np.float32)
    return np.concatenate([wide.mean(axis=0), wide.std(axis=0)])
