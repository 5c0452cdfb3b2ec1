"""The phase of an STFT from its amplitude alone: phase gradient heap integration (PGHI).

Z. Prusa, P. Balazs and P. Sondergaard, "A Noniterative Method for Reconstruction of Phase from STFT
Magnitude", IEEE/ACM Trans. Audio, Speech and Language Processing 25 (2017). With a Gaussian window,
the gradient of the phase is a function of the gradient of the log amplitude. Other windows are
treated as the Gaussian that is most similar. The gradient is integrated from the loudest bin
outwards, always from the loudest bin whose neighbours are not all known.
"""

import numpy as np

from melgraph.ml.compilation import compiled

HANN_GAMMA = 0.25645
"""Time-frequency ratio of the Gaussian that is nearest to a Hann window, divided by n_fft^2."""

TOLERANCE = 1e-6
"""Bins below this share of the largest amplitude have random phases: their gradient is noise."""

# A heap would sort the waiting bins exactly. Bins of about the same level are interchangeable, so
# a stack per level does the same work without comparisons, in a tenth of the time.
_STEP_DB = 0.25
_NEPER_DB = 20.0 / np.log(10.0)
_FLOOR = 1e-8  # share of the largest amplitude, below which logarithms are cut


def phase_from_amplitude(
    amplitude: np.ndarray, *, n_fft: int, hop: int, generator: np.random.Generator
) -> np.ndarray:
    """Estimate the phase of an STFT as `ml.spectral.stft` computes it, with a Hann window.

    Args:
        amplitude: float32 `[frame, bin]`, not negative, at least one value positive.
        n_fft: window length, samples.
        hop: samples between frames.
        generator: draws the phases of bins below `TOLERANCE`, and those where integration starts.

    Returns:
        float32 `[frame, bin]`, radians, -pi to pi.
    """
    n_frames, n_bins = amplitude.shape
    inside = (slice(1, n_frames + 1), slice(n_bins))
    shares = amplitude / amplitude.max()
    levels = np.log(np.maximum(shares, np.float32(_FLOOR)))  # neper; the largest is 0
    count = int(np.ceil(-np.log(TOLERANCE) * _NEPER_DB / _STEP_DB))
    # A margin of bins that take no part, so that every bin has four neighbours: a frame before and
    # behind, and a bin after the last one of each frame.
    depth = np.full((n_frames + 2, n_bins + 1), count, np.int16)
    depth[inside] = np.minimum(levels * np.float32(-_NEPER_DB / _STEP_DB), count)
    depth[inside][shares < TOLERANCE] = count
    order = np.argsort(depth, axis=None, kind="stable")[: np.count_nonzero(depth < count)]
    along_time, along_frequency = np.zeros((2, *depth.shape), np.float32)
    along_time[inside], along_frequency[inside] = _gradients(levels, n_fft, hop)
    phase = np.zeros(depth.shape, np.float32)
    phase[inside] = random_phase(amplitude.shape, generator)
    _integrate(along_time, along_frequency, depth, order, count, phase)
    return np.ascontiguousarray(phase[inside])


def random_phase(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Phases that are independent and uniform: float32, radians, -pi to pi."""
    phase = generator.random(shape, dtype=np.float32)
    phase -= np.float32(0.5)
    phase *= np.float32(2.0 * np.pi)
    return phase


def _gradients(levels: np.ndarray, n_fft: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Change of the phase per frame and per bin.

    Args:
        levels: float32 `[frame, bin]`, neper.
        n_fft: window length, samples.
        hop: samples between frames.

    Returns:
        Two arrays like `levels`, radians. A component at the centre of a bin turns by 2 pi hop /
        n_fft times the number of the bin from one frame to the next. Frames begin half a window
        before their centre, which adds pi per bin.
    """
    ratio = HANN_GAMMA * n_fft / hop
    along_time = np.zeros_like(levels)
    along_time[:, 1:-1] = (levels[:, 2:] - levels[:, :-2]) * np.float32(0.5 / ratio)
    turns = np.arange(levels.shape[1], dtype=np.int64) * hop % n_fft
    along_time += (turns * (2.0 * np.pi / n_fft)).astype(np.float32)
    along_frequency = np.full_like(levels, np.pi)
    along_frequency[1:-1] -= (levels[2:] - levels[:-2]) * np.float32(0.5 * ratio)
    return along_time, along_frequency


@compiled("void(float32[:,::1], float32[:,::1], int16[:,::1], int64[::1], int64, float32[:,::1])")
def _integrate(
    along_time: np.ndarray,
    along_frequency: np.ndarray,
    depth: np.ndarray,
    order: np.ndarray,
    count: int,
    phase: np.ndarray,
) -> None:
    """Integrate the gradient by the trapezoidal rule; results replace values of `phase`.

    Args:
        along_time: float32 `[frame, bin]`, radians per frame.
        along_frequency: float32 `[frame, bin]`, radians per bin.
        depth: int16 `[frame, bin]`, 0 for the loudest. Bins of the depth `count` take no part; the
            first and the last frame and the last bin of each frame must be such. It changes: all
            bins have the depth `count` afterwards.
        order: int64 `[n]`, the bins that take part, the loudest first.
        count: number of levels.
        phase: float32 `[frame, bin]`, radians. The first bin of each connected region keeps its
            value.
    """
    n_bins = phase.shape[1]
    time_step, frequency_step = along_time.ravel(), along_frequency.ravel()
    depths, phases = depth.ravel(), phase.ravel()
    tops = np.full(count, -1, dtype=np.int64)  # per level, the top of the stack of waiting bins
    below = np.empty(phases.size, dtype=np.int64)  # per bin, the bin below it on its stack
    for start in order:
        level = np.int64(depths[start])
        if level == count:
            continue
        depths[start] = count
        tops[level], below[start] = start, -1
        while level < count:
            here = tops[level]
            if here < 0:
                level += 1
                continue
            tops[level] = below[here]
            for direction in range(4):
                offset = n_bins if direction < 2 else 1
                sign = 1 - 2 * (direction % 2)
                there = here + sign * offset
                height = np.int64(depths[there])
                if height == count:
                    continue
                steps = time_step if direction < 2 else frequency_step
                change = 0.5 * sign * (np.float64(steps[here]) + np.float64(steps[there]))
                turned = (np.float64(phases[here]) + change) / (2.0 * np.pi)
                phases[there] = (turned - np.floor(turned + 0.5)) * (2.0 * np.pi)
                depths[there] = count
                below[there], tops[height] = tops[height], there
                level = min(level, height)
