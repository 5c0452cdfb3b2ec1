"""The waveform itself as numbers to keep: 16-bit mono at 16 kHz, for models that hear samples."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_SCALE = (
    32768.0  # of full scale 1.0, as audio files have it: 16-bit audio at this rate is kept whole
)


@dataclass(frozen=True)
class WaveformTransform:
    """Everything a stranger needs to compute, read or invert our stored waveforms."""

    sample_rate: int = 16000  # Hz; the audio is mono at this rate

    def attributes(self) -> dict[str, Any]:
        """The transform as JSON-ready attributes of a store, with the conventions spelled out."""
        return {
            **asdict(self),
            "channels": "mono",
            "unit": "1 / 32768 of full scale",
            "rounding": "to the nearest, no dither; beyond -32768 and 32767 clipped",
        }


def quantise(mono: np.ndarray) -> tuple[np.ndarray, int]:
    """Samples as they are kept.

    Args:
        mono: float32 `[sample]`, finite, full scale 1.0; lossy codecs overshoot it a little.

    Returns:
        int16 `[sample]`, and how many samples lay beyond what int16 holds and were clipped.
    """
    steps = np.rint(mono * np.float32(_SCALE))
    kept = np.clip(steps, -_SCALE, _SCALE - 1)
    return kept.astype(np.int16), int(np.count_nonzero(steps != kept))


def dequantise(samples: np.ndarray) -> np.ndarray:
    """Int16 `[sample]` -> float32 `[sample]`, full scale 1.0."""
    return samples.astype(np.float32) / np.float32(_SCALE)
