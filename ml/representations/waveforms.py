"""The waveform as a stored array: 16-bit mono at 16 or 32 kHz, for models that take samples."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_SCALE = 32768.0  # steps per full scale 1.0, as in audio files: 16-bit audio is stored losslessly


@dataclass(frozen=True)
class WaveformTransform:
    """All parameters that are needed to compute, read or invert our stored waveforms."""

    sample_rate: int = 16000  # Hz; the audio is mono at this rate

    def attributes(self) -> dict[str, Any]:
        """All parameters and conventions as JSON-ready attributes of a store."""
        return {
            **asdict(self),
            "channels": "mono",
            "unit": "1 / 32768 of full scale",
            "rounding": "to the nearest, no dither; beyond -32768 and 32767 clipped",
        }


@dataclass(frozen=True)
class HighRateWaveformTransform(WaveformTransform):
    """The same at 32 kHz, for models of all sounds: they also use what is above 8 kHz."""

    sample_rate: int = 32000  # Hz


def quantise(mono: np.ndarray) -> tuple[np.ndarray, int]:
    """Convert samples to int16, as they are stored.

    Args:
        mono: float32 `[sample]`, finite, full scale 1.0; lossy codecs may exceed it slightly.

    Returns:
        int16 `[sample]`, and the number of samples that were clipped to the range of int16.
    """
    steps = np.rint(mono * np.float32(_SCALE))
    clipped = np.clip(steps, -_SCALE, _SCALE - 1)
    return clipped.astype(np.int16), int(np.count_nonzero(steps != clipped))


def dequantise(samples: np.ndarray) -> np.ndarray:
    """Int16 `[sample]` -> float32 `[sample]`, full scale 1.0."""
    return samples.astype(np.float32) / np.float32(_SCALE)
