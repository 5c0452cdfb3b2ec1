"""Loudness (EBU R 128) and true peak (ITU-R BS.1770-4) of a sound."""

import numpy as np

from melgraph.ml.audio.signal import to_mono

_BLOCK_S = 0.4  # gating block of BS.1770-4; consecutive blocks start 0.1 s apart
_STEPS = 4  # steps per block
_METER_CHANNELS = 5  # BS.1770-4 states weights for L, R, C, Ls, Rs
_SILENT_DB = -200.0  # true peak reported for digital silence, so that it is finite
_RUN = 1 << 17  # samples that are oversampled together; a bound of the memory
_MARGIN = 32  # samples around a run; the interpolation filter reaches 10


def loudness_lufs(samples: np.ndarray, rate: int) -> float | None:
    """Integrated loudness by EBU R 128, that is, gated as in ITU-R BS.1770-4.

    Only whole gating blocks of 0.4 s count, as the recommendation asks; up to 0.1 s at the end may
    therefore be left out. Channels are taken as L, R, C, Ls, Rs. The layout of more than five
    channels is not known; their mean is measured instead.

    Args:
        samples: float `[sample]` or `[sample, channel]`, full scale 1.0.
        rate: Hz.

    Returns:
        LUFS. None if the sound is shorter than one gating block, or if no block is louder than the
        absolute gate of -70 LUFS (silence).
    """
    n_blocks = _whole_blocks(len(samples), rate)
    if n_blocks == 0 or samples.size == 0:
        return None
    if samples.ndim == 2 and samples.shape[1] > _METER_CHANNELS:
        samples = to_mono(np.asarray(samples, np.float32))
    from pyloudnorm import Meter

    # The meter rounds the number of blocks, and would divide a cut block by the whole length.
    end = int(_BLOCK_S * rate * (1 + (n_blocks - 1) / _STEPS))
    # "DeMan": the only filters of the package that have the coefficients of the recommendation.
    meter = Meter(rate, filter_class="DeMan", block_size=_BLOCK_S)
    loudness = float(meter.integrated_loudness(np.asarray(samples[:end], np.float64)))
    return loudness if np.isfinite(loudness) else None


def _whole_blocks(n_samples: int, rate: int) -> int:
    steps = int(n_samples / (rate * _BLOCK_S / _STEPS) + 1e-9)
    return max(0, steps - _STEPS + 1)


def true_peak_db(samples: np.ndarray, rate: int) -> float:
    """The true peak: the largest magnitude of the waveform between the samples, too.

    Args:
        samples: float `[sample]` or `[sample, channel]`, full scale 1.0.
        rate: Hz.

    Returns:
        dB re full scale (dBTP); -200 for digital silence or without samples.
    """
    envelope = true_peak_envelope(samples, rate)
    peak = float(envelope.max()) if len(envelope) else 0.0
    return float(20.0 * np.log10(max(peak, 10.0 ** (_SILENT_DB / 20.0))))


def true_peak_envelope(samples: np.ndarray, rate: int) -> np.ndarray:
    """The true peak around each sample: the largest magnitude between its two neighbours.

    The waveform is oversampled by 4 below 96 kHz, by 2 below 192 kHz (BS.1770-4, annex 2). A point
    between two samples counts for both of them.

    Args:
        samples: float `[sample]` or `[sample, channel]`, full scale 1.0.
        rate: Hz.

    Returns:
        float64 `[sample]`, the maximum over channels.
    """
    from scipy.signal import resample_poly

    channels = samples[:, None] if samples.ndim == 1 else samples
    factor = 4 if rate < 96_000 else 2 if rate < 192_000 else 1
    envelope: np.ndarray = np.abs(channels).max(axis=1, initial=0.0).astype(np.float64)
    if factor == 1:
        return envelope
    for start in range(0, len(channels), _RUN):
        first, last = max(0, start - _MARGIN), min(len(channels), start + _RUN + _MARGIN)
        run = np.asarray(channels[first:last], np.float64)
        fine = np.abs(resample_poly(run, factor, 1, axis=0)).max(axis=1)
        between = fine.reshape(-1, factor)[:, 1:].max(axis=1)  # after each sample of the run
        around = np.maximum(between, np.concatenate([[0.0], between[:-1]]))
        end = min(start + _RUN, len(channels))
        part = around[start - first : end - first]
        envelope[start:end] = np.maximum(envelope[start:end], part)
    return envelope
