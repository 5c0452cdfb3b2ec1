"""MFCC as a representation: cepstral coefficients of each frame of our log-mel spectrogram.

The feature table (`ml.features.track_features`) has other MFCC. They reproduce librosa and the
table published with GTZAN: Slaney's mel scale, with bands limited to 80 dB below the track's
loudest one. The MFCC here are computed from the stored log-mel spectrogram (HTK scale, fixed
floor). Each frame therefore depends on no other frame and can be inverted to a smooth log-mel
spectrogram.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.fft import dct

from melgraph.ml.spectral.framing import TILE
from melgraph.ml.spectral.transforms import MelTransform


@dataclass(frozen=True)
class MfccTransform:
    """All parameters that are needed to compute, read or invert our MFCC.

    MFCC are the first `n_mfcc` coefficients of an orthonormal DCT-II over the bands of the log-mel
    spectrogram `mel`, stored as float16. The first coefficient is sqrt(n_mels) times the mean of
    the bands. It reaches -1131 at the floor of -100 dB, where float16 has steps of 1 (0.09 dB of
    level).

    >>> MfccTransform(n_mfcc=13).mel.n_mels
    128
    """

    n_mfcc: int = 20
    sample_rate: int = 22050  # Hz; this and the following fields are those of MelTransform
    n_fft: int = 2048
    hop: int = 512
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float = 11025.0
    floor_db: float = -100.0

    @property
    def mel(self) -> MelTransform:
        """The transform of the log-mel spectrogram that the MFCC are computed from."""
        parameters = asdict(self)
        del parameters["n_mfcc"]
        return MelTransform(**parameters)

    def attributes(self) -> dict[str, Any]:
        """All parameters and conventions as JSON-ready attributes of a store."""
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
        log_mel: `[frame, mel]`, dB, computed with `transform.mel`.
        transform: the number of bands and of coefficients.

    Returns:
        float16 `[frame, coefficient]`.

    Raises:
        ValueError: the spectrogram has another number of bands.
    """
    if log_mel.ndim != 2 or log_mel.shape[1] != transform.n_mels:
        raise ValueError(f"log_mel must be [frame, {transform.n_mels}], got {log_mel.shape}")
    basis = _basis(transform.n_mels, transform.n_mfcc)
    out = np.empty((len(log_mel), transform.n_mfcc), dtype=np.float16)
    for start in range(0, len(log_mel), TILE):  # so that blocks give the same bits as the whole
        out[start : start + TILE] = log_mel[start : start + TILE].astype(np.float32) @ basis
    return out


def log_mel_from_mfcc(mfcc: np.ndarray, transform: MfccTransform) -> np.ndarray:
    """The log-mel spectrogram nearest to some MFCC (least squares), which is smooth over bands.

    Args:
        mfcc: `[frame, coefficient]`, computed with `transform`.
        transform: the number of bands and of coefficients, and the floor.

    Returns:
        float32 `[frame, mel]`, dB, never below the floor.

    Raises:
        ValueError: the MFCC have another number of coefficients.
    """
    if mfcc.ndim != 2 or mfcc.shape[1] != transform.n_mfcc:
        raise ValueError(f"mfcc must be [frame, {transform.n_mfcc}], got {mfcc.shape}")
    bands = mfcc.astype(np.float32) @ _basis(transform.n_mels, transform.n_mfcc).T
    return np.maximum(bands, np.float32(transform.floor_db))
