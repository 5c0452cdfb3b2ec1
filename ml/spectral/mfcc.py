"""MFCC as a representation: the smooth part of our own log-mel spectrogram, frame by frame.

The feature table (`ml.features.track_features`) has MFCC too, of Slaney's mel scale and with bands
lifted to 80 dB below a track's loudest: those reproduce librosa and the table published with GTZAN.
The ones here are made from the stored log-mel (HTK scale, a fixed floor), so that a frame depends
on nothing but itself and leads back to the log-mel spectrogram that everything else here
understands.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.fft import dct

from melgraph.ml.spectral import MelTransform
from melgraph.ml.spectral.framing import TILE


@dataclass(frozen=True)
class MfccTransform:
    """Everything a stranger needs to compute, read or invert our MFCC.

    Orthonormal DCT-II over the bands of the log-mel spectrogram of `mel`; the first `n_mfcc`
    coefficients are kept as float16. The first one is sqrt(n_mels) times the mean of the bands:
    down to -1131 at the floor of -100 dB, where float16 steps by 1 (0.09 dB of level).
    """

    n_mfcc: int = 20
    sample_rate: int = 22050  # Hz; this and the following: as in MelTransform
    n_fft: int = 2048
    hop: int = 512
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float = 11025.0
    floor_db: float = -100.0

    @property
    def mel(self) -> MelTransform:
        """The log-mel spectrogram they are made of."""
        parameters = asdict(self)
        del parameters["n_mfcc"]
        return MelTransform(**parameters)

    def attributes(self) -> dict[str, Any]:
        """The transform as JSON-ready attributes of a store, with the conventions spelled out."""
        return {
            **self.mel.attributes(),
            **asdict(self),
            "dct": "type II over bands, orthonormal, the first n_mfcc coefficients",
            "top_db": "none: floor_db is the only floor",
            "unit": "dB of power, re 1.0, times the orthonormal basis",
        }


@lru_cache(maxsize=8)
def _basis(n_mels: int, n_mfcc: int) -> np.ndarray:
    """Float32 `[mel, coefficient]`; its columns are orthonormal."""
    return dct(np.eye(n_mels), axis=1, norm="ortho")[:, :n_mfcc].astype(np.float32)


def mfcc_from_log_mel(log_mel: np.ndarray, transform: MfccTransform) -> np.ndarray:
    """MFCC of a log-mel spectrogram.

    Args:
        log_mel: `[frame, mel]`, dB, made with `transform.mel`.
        transform: how many coefficients.

    Returns:
        float16 `[frame, coefficient]`.

    Raises:
        ValueError: a log-mel spectrogram of another number of bands.
    """
    if log_mel.ndim != 2 or log_mel.shape[1] != transform.n_mels:
        raise ValueError(f"log_mel must be [frame, {transform.n_mels}], got {log_mel.shape}")
    basis = _basis(transform.n_mels, transform.n_mfcc)
    out = np.empty((len(log_mel), transform.n_mfcc), dtype=np.float16)
    for start in range(0, len(log_mel), TILE):  # as everywhere: blocks give the bits of the whole
        out[start : start + TILE] = log_mel[start : start + TILE].astype(np.float32) @ basis
    return out


def log_mel_from_mfcc(mfcc: np.ndarray, transform: MfccTransform) -> np.ndarray:
    """The log-mel spectrogram that MFCC still know of: smooth over bands, least squares.

    Args:
        mfcc: `[frame, coefficient]`, made with `transform`.
        transform: how many bands, and the floor.

    Returns:
        float32 `[frame, mel]`, dB, never below the floor.

    Raises:
        ValueError: another number of coefficients.
    """
    if mfcc.ndim != 2 or mfcc.shape[1] != transform.n_mfcc:
        raise ValueError(f"mfcc must be [frame, {transform.n_mfcc}], got {mfcc.shape}")
    bands = mfcc.astype(np.float32) @ _basis(transform.n_mels, transform.n_mfcc).T
    return np.maximum(bands, np.float32(transform.floor_db))
