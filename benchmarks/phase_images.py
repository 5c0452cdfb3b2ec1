"""How much of the phase survives the resizing to an image, for five ways to represent it.

    python benchmarks/phase_images.py FOLDER... [--tracks 2]

FOLDER holds folders of recordings (genres). The first tracks of each are used, and of each track an
excerpt from its middle. The output is the standard deviation of the pixels of the image, divided by
that of the values before the resizing, as the mean over the tracks. The same is measured of random
phases: what survives of them is only what averaging leaves of noise, so a representation of which
no more survives shows nothing of the music.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.ml.audio import AUDIO_SUFFIXES, decode, resample, to_mono
from melgraph.ml.representations.images import ImageMapping, amplitude_image, phase_differences
from melgraph.ml.spectral import StftTransform, amplitude_and_phase, stft

HOW = StftTransform()
SIZES = ((512, 10.0), (128, 10.0), (64, 3.0))  # pixels, seconds
Parts = list[np.ndarray]


def wrapped(radians: np.ndarray) -> np.ndarray:
    return np.angle(np.exp(1j * radians))


def cosine_and_sine(radians: np.ndarray) -> Parts:
    return [np.cos(radians), np.sin(radians)]


def less_the_bin(radians: np.ndarray) -> np.ndarray:
    """Differences, less the angle by which a tone in the middle of its bin turns in a hop."""
    turn = 2 * np.pi * HOP_SHARE * np.arange(radians.shape[1])
    return phase_differences(radians) - turn


HOP_SHARE = HOW.hop / HOW.n_fft
WAYS: dict[str, Callable[[np.ndarray], Parts]] = {
    "the phase, in wrapped radians (as before)": lambda phase: [phase],
    "cosine and sine of the phase": cosine_and_sine,
    "difference along time, in wrapped radians": lambda p: [wrapped(phase_differences(p))],
    "cosine and sine of the difference, less the turn of the bin": (
        lambda phase: cosine_and_sine(less_the_bin(phase))
    ),
    "cosine and sine of the difference along time (used)": (
        lambda phase: cosine_and_sine(phase_differences(phase))
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of folders of recordings")
    parser.add_argument("--tracks", type=int, default=2, help="of each inner folder")
    options = parser.parse_args()
    inner = [p for folder in options.folders for p in sorted(folder.iterdir()) if p.is_dir()]
    paths = [path for folder in inner for path in recordings(folder)[: options.tracks]]
    shares: dict[tuple[str, int, str], list[float]] = {}
    rng = np.random.default_rng(0)
    for path in paths:
        whole = phase_of(path)
        for size, seconds in SIZES:
            phase = middle(whole, seconds)
            noise = rng.uniform(-np.pi, np.pi, phase.shape).astype(np.float32)
            for way, represent in WAYS.items():
                for name, values in (("music", phase), ("random", noise)):
                    shares.setdefault((way, size, name), []).append(
                        share_left(represent(values), size)
                    )
    print(f"{len(paths)} tracks\n")
    heads = [f"{size} x {size}, {seconds:g} s" for size, seconds in SIZES]
    print("| representation | " + " | ".join(heads) + " |")
    print("| --- |" + " --- |" * len(heads))
    for way in WAYS:
        means = [[np.mean(shares[way, size, n]) for n in ("music", "random")] for size, _ in SIZES]
        cells = [f"{music:.3f} ({random:.3f})" for music, random in means]
        print(f"| {way} | " + " | ".join(cells) + " |")


def recordings(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES)


def phase_of(path: Path) -> np.ndarray:
    decoded = decode(path)
    mono = resample(to_mono(decoded.samples), decoded.sample_rate, HOW.sample_rate)
    return amplitude_and_phase(stft(mono, n_fft=HOW.n_fft, hop=HOW.hop), HOW)[1].astype(np.float32)


def middle(phase: np.ndarray, seconds: float) -> np.ndarray:
    n = round(seconds * HOW.frames_per_second)
    start = max(0, (len(phase) - n) // 2)
    return phase[start : start + n]


def share_left(parts: Parts, size: int) -> float:
    """The standard deviation after the resizing, divided by that before: the mean over parts."""
    of_parts = []
    for part in parts:
        low, high = float(part.min()), float(part.max())
        pixels = amplitude_image(part, ImageMapping(size=size, low_db=low, high_db=high))
        of_parts.append(pixels.std() * (high - low) / part.std())
    return float(np.mean(of_parts))


if __name__ == "__main__":
    main()
