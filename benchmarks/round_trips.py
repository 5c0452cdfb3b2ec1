"""How much of the sound each representation preserves: conversion and back, on real recordings.

    python benchmarks/round_trips.py FOLDER... [--tracks 2] [--seconds 10]

FOLDER holds folders of recordings (genres). The first tracks of each are used, and of each track an
excerpt from its middle, mono. The output is median and range over the tracks.

SNR: of the restored to the original sound (higher is better). Spectral convergence: norm of the
difference of two magnitude spectrograms, divided by the norm of the original (lower is better).
Log-spectral distance: root mean square over bins, averaged over frames, of the difference in dB, of
amplitudes above -50 dB re 1.0 or of log-mel bands (lower is better).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from melgraph.ml.audio import AUDIO_SUFFIXES, decode, resample, to_mono
from melgraph.ml.generation.resynthesis import apply_mel_delta, snr_db
from melgraph.ml.representations.images import (
    ImageMapping,
    amplitude_from_image,
    amplitude_image,
    apply_amplitude_edit,
    apply_phase_edit,
    clipped_share,
    phase_from_image,
    phase_image,
)
from melgraph.ml.representations.waveforms import WaveformTransform, dequantise, quantise
from melgraph.ml.spectral import MelTransform, istft, log_mel, stft
from melgraph.ml.spectral.mfcc import MfccTransform, log_mel_from_mfcc, mfcc_from_log_mel
from melgraph.ml.spectral.stft_values import StftTransform, amplitude_and_phase, waveform_from_stft

STFT, MEL, MFCC, IMAGE = StftTransform(), MelTransform(), MfccTransform(), ImageMapping()
Figures = dict[
    tuple[str, str], dict[str, float]
]  # (representation, conversion back) -> figure -> value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of folders of recordings")
    parser.add_argument("--tracks", type=int, default=2, help="of each inner folder")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each track")
    options = parser.parse_args()
    values_of: dict[tuple[str, str, str], list[float]] = {}
    paths = [path for folder in options.folders for path in tracks_of(folder, options.tracks)]
    for path in paths:
        for (what, back), figures in figures_of(path, options.seconds).items():
            for figure, value in figures.items():
                values_of.setdefault((what, back, figure), []).append(value)
    print(f"{len(paths)} tracks, {options.seconds:g} s each\n")
    print("| representation | conversion back | figure | n | median | range |")
    print("|---|---|---|---|---|---|")
    for (what, back, figure), values in values_of.items():
        low, middle, high = np.min(values), np.median(values), np.max(values)
        spread = f"{low:.3g} to {high:.3g}"
        print(f"| {what} | {back} | {figure} | {len(values)} | {middle:.3g} | {spread} |")


def tracks_of(folder: Path, n_tracks: int) -> list[Path]:
    tracks = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        audio = sorted(p for p in inner.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES)
        tracks += audio[:n_tracks]
    return tracks


def figures_of(path: Path, seconds: float) -> Figures:
    decoded = decode(path)
    n = round(seconds * decoded.sample_rate)
    start = max(0, (len(decoded.samples) - n) // 2)
    excerpt = to_mono(decoded.samples[start : start + n])

    def at(rate: int) -> np.ndarray:
        return resample(excerpt, decoded.sample_rate, rate)

    return {
        **stft_figures(at(STFT.sample_rate)),
        **waveform_figures(at(WaveformTransform().sample_rate)),
        **mel_figures(at(MEL.sample_rate)),
    }


def stft_figures(mono: np.ndarray) -> Figures:
    spectrum = stft(mono, n_fft=STFT.n_fft, hop=STFT.hop)
    again = istft(spectrum, n_fft=STFT.n_fft, hop=STFT.hop, length=len(mono))
    amplitude, phase = amplitude_and_phase(spectrum, STFT)
    shape = {"n_frames": amplitude.shape[0], "n_bins": amplitude.shape[1]}
    pixels, angles = amplitude_image(amplitude, IMAGE), phase_image(phase, IMAGE)
    enlarged = amplitude_from_image(pixels, IMAGE, **shape)

    def sound(decibels: np.ndarray, radians: np.ndarray) -> np.ndarray:
        return waveform_from_stft(decibels, radians, STFT, length=len(mono))

    def compared(back: np.ndarray) -> dict[str, float]:
        return {"SNR, dB": snr_db(mono, back), **spectral_distance(spectrum, back)}

    edited = apply_amplitude_edit(amplitude, pixels, pixels, IMAGE)
    turned = apply_phase_edit(phase, angles, angles)
    low, high = clipped_share(amplitude, IMAGE)
    image = f"{IMAGE.size} x {IMAGE.size} image"
    return {
        ("STFT, float32", "inverse STFT"): {"SNR, dB": snr_db(mono, again)},
        ("STFT, float16 dB and radians", "inverse STFT"): compared(sound(amplitude, phase)),
        (f"{image} of amplitude", "unedited, as a difference; own phase"): {
            "SNR, dB": snr_db(mono, sound(edited, phase)),
            "largest change, dB": float(np.abs(edited - amplitude.astype(np.float32)).max()),
        },
        (f"{image} of phase", "unedited, as a difference; own amplitude"): {
            "SNR, dB": snr_db(mono, sound(amplitude, turned))
        },
        (f"{image} of amplitude", "enlarged; own phase"): {
            **compared(sound(enlarged, phase)),
            "share below the range": low,
            "share above the range": high,
        },
        (f"{image}s of both", "enlarged"): compared(
            sound(enlarged, phase_from_image(angles, **shape))
        ),
    }


def spectral_distance(spectrum: torch.Tensor, back: np.ndarray) -> dict[str, float]:
    truth = spectrum.abs().numpy()
    restored = stft(back, n_fft=STFT.n_fft, hop=STFT.hop).abs().numpy()
    convergence = np.linalg.norm(truth - restored) / np.linalg.norm(truth)
    floor = 10.0 ** (IMAGE.low_db / 20.0)
    decibels = [20.0 * np.log10(np.maximum(part, floor)) for part in (truth, restored)]
    return {
        "spectral convergence": float(convergence),
        "log-spectral distance, dB": log_distance(*decibels, bins=0),
    }


def log_distance(truth: np.ndarray, restored: np.ndarray, *, bins: int) -> float:
    return float(np.sqrt(np.square(truth - restored).mean(axis=bins)).mean())


def waveform_figures(mono: np.ndarray) -> Figures:
    samples, clipped = quantise(mono)
    return {
        ("waveform, int16 at 16 kHz", "divide"): {
            "SNR, dB": snr_db(mono, dequantise(samples)),
            "share clipped": clipped / max(1, len(mono)),
        }
    }


def mel_figures(mono: np.ndarray) -> Figures:
    mel = log_mel(stft(mono, n_fft=MEL.n_fft, hop=MEL.hop), MEL)
    rounded = mel.astype(np.float16).astype(np.float32)
    unedited = apply_mel_delta(
        mono[:, None],
        sample_rate=MEL.sample_rate,
        delta_db=np.zeros_like(mel),
        transform=MEL,
        max_gain_db=40.0,
    )
    figures: Figures = {
        ("log-mel, float16", "as numbers"): {
            "log-spectral distance, dB": log_distance(mel, rounded, bins=1)
        },
        ("log-mel", "unedited, as a difference on the STFT"): {
            "SNR, dB": snr_db(mono * np.float32(unedited.gain), unedited.samples[:, 0])
        },
    }
    for n_mfcc in (13, MFCC.n_mfcc, 40):
        how = MfccTransform(n_mfcc=n_mfcc)
        back = log_mel_from_mfcc(mfcc_from_log_mel(mel, how), how)
        figures[(f"{n_mfcc} MFCC, float16", "log-mel of the kept coefficients")] = {
            "log-spectral distance, dB": log_distance(mel, back, bins=1)
        }
    return figures


if __name__ == "__main__":
    main()
