"""From an audio file to everything computed from it, in one decode."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.audio import check, decode, levels, resample, to_mono
from ml.features import track_features
from ml.spectral import MelTransform, log_mel, stft


@dataclass(frozen=True)
class Analysis:
    """What one decode of a file gives.

    Attributes:
        info: duration_s, sample_rate_hz, channels, codec, peak_dbfs, rms_dbfs, warning.
        log_mel: float16 `[frame, mel]`, dB; None where it was not asked for.
        features: tabular features by name; None where they were not asked for.
    """

    info: dict[str, Any]
    log_mel: np.ndarray | None
    features: dict[str, float] | None


def analyse(
    path: Path, *, transform: MelTransform, want_log_mel: bool = True, want_features: bool = True
) -> Analysis:
    """Decode a file once and compute what is wanted from one STFT.

    Raises:
        BadAudio: with a code and a reason; see `ml.audio`.
    """
    decoded = decode(path)
    check(decoded)
    peak_dbfs, rms_dbfs = levels(decoded.samples)
    info = {
        "duration_s": len(decoded.samples) / decoded.sample_rate,
        "sample_rate_hz": decoded.sample_rate,
        "channels": decoded.samples.shape[1],
        "codec": decoded.codec,
        "peak_dbfs": peak_dbfs,
        "rms_dbfs": rms_dbfs,
        "warning": decoded.warning,
    }
    if not (want_log_mel or want_features):
        return Analysis(info, None, None)
    mono = resample(to_mono(decoded.samples), decoded.sample_rate, transform.sample_rate)
    spectrum = stft(mono, n_fft=transform.n_fft, hop=transform.hop)
    mel = log_mel(spectrum, transform).astype(np.float16) if want_log_mel else None
    features = None
    if want_features:
        features = track_features(mono, spectrum, sample_rate=transform.sample_rate)
    return Analysis(info, mel, features)


def transform_from(attributes: dict[str, Any]) -> MelTransform:
    """The transform a store or a checkpoint describes in its attributes."""
    return MelTransform(**{name: attributes[name] for name in asdict(MelTransform())})
