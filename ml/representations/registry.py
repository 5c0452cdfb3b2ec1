"""The representations of a track: which there are, what each is made with, how it is laid out.

A user's own `representations.toml` overrides the defaults key by key:

    [mel_spectrograms]
    n_mels = 64
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.features.track_features import FeatureOptions
from melgraph.ml.representations.waveforms import WaveformTransform, quantise
from melgraph.ml.spectral import MelTransform, log_mel, mel_frequencies
from melgraph.ml.spectral.mfcc import MfccTransform, mfcc_from_log_mel
from melgraph.ml.spectral.stft_values import StftTransform, amplitude_and_phase

MEL, FEATURES = "mel_spectrograms", "audio_features"
STFT, WAVEFORMS, MFCC = "stft_spectrograms", "waveforms", "mfcc"

FEATURE_RATE = 22050  # Hz: what the tabular features are computed at
Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A representation that is kept as arrays.

    Attributes:
        transform: the dataclass that holds all it is made with.
        rows: (transform, float32 `[sample]`, complex64 `[bin, frame]` or None) -> the next rows of
            each array.
        arrays: name -> dtype.
        frequency: the frequencies of its bins, Hz; None where they have none.
        bins: transform -> number of bins; 0 where the array is flat.
    """

    transform: type
    rows: Callable[[Any, np.ndarray, Any], Rows]
    arrays: Mapping[str, str]
    bins: Callable[[Any], int]
    frequency: Callable[[Any], np.ndarray] | None = None


def _mel_rows(how: MelTransform, signal: np.ndarray, spectrum: torch.Tensor) -> Rows:
    return {"values": log_mel(spectrum, how).astype(np.float16)}


def _stft_rows(how: StftTransform, signal: np.ndarray, spectrum: torch.Tensor) -> Rows:
    amplitude, phase = amplitude_and_phase(spectrum, how)
    return {"values": amplitude, "phase": phase}


def _stft_frequencies(how: StftTransform) -> np.ndarray:
    return np.arange(how.n_bins) * (how.sample_rate / how.n_fft)


def _mfcc_rows(how: MfccTransform, signal: np.ndarray, spectrum: torch.Tensor) -> Rows:
    return {"values": mfcc_from_log_mel(log_mel(spectrum, how.mel), how)}


def _waveform_rows(how: WaveformTransform, signal: np.ndarray, spectrum: None) -> Rows:
    return {"values": quantise(signal)[0]}


_ONE_FLOAT16 = {"values": "float16"}
KINDS: dict[str, Kind] = {
    MEL: Kind(MelTransform, _mel_rows, _ONE_FLOAT16, lambda how: how.n_mels, mel_frequencies),
    STFT: Kind(
        StftTransform,
        _stft_rows,
        {"values": "float16", "phase": "float16"},
        lambda how: how.n_bins,
        _stft_frequencies,
    ),
    MFCC: Kind(MfccTransform, _mfcc_rows, _ONE_FLOAT16, lambda how: how.n_mfcc),
    WAVEFORMS: Kind(WaveformTransform, _waveform_rows, {"values": "int16"}, lambda how: 0),
}
TRANSFORMS: dict[str, type] = {
    **{name: kind.transform for name, kind in KINDS.items()},
    FEATURES: FeatureOptions,
}


def frames_per_second(name: str, how: Any) -> float:
    """Rows a second of a representation's arrays; 0 for the tabular features, which have one."""
    if name == FEATURES:
        return 0.0
    return how.sample_rate / getattr(how, "hop", 1)


def from_attributes(name: str, attributes: Mapping[str, Any]) -> Any:
    """The transform that the attributes of a store, or of a checkpoint, describe."""
    transform = TRANSFORMS[name]
    return transform(**{field.name: attributes[field.name] for field in fields(transform)})


def load_representations(path: Path) -> dict[str, Any]:
    """What each representation is made with: the defaults, and what a user's file says otherwise.

    Args:
        path: the user's `representations.toml`; need not exist.

    Raises:
        UserError: with every problem of the file, each with its key.
    """
    found = {name: transform() for name, transform in TRANSFORMS.items()}
    if not path.is_file():
        return found
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise _refused(path, [f"not readable as TOML: {error}"]) from None
    problems = []
    for name, table in tables.items():
        if name not in found or not isinstance(table, dict):
            problems.append(f"[{name}] is no representation; there are {', '.join(found)}")
            continue
        unfit = _unfit(found[name], table)
        problems += [f"{name}.{key}: {what}" for key, what in unfit.items()]
        if not unfit:
            found[name] = replace(found[name], **table)
            problems += [f"{name}: {what}" for what in _contradictions(found[name])]
    if problems:
        raise _refused(path, problems)
    return found


def _unfit(default: Any, table: Mapping[str, Any]) -> dict[str, str]:
    known = {field.name: getattr(default, field.name) for field in fields(default)}
    unfit = {}
    for key, value in table.items():
        if key not in known:
            unfit[key] = f"no such key; there are {', '.join(known)}"
        elif isinstance(known[key], bool) != isinstance(value, bool):
            unfit[key] = f"must be {type(known[key]).__name__} (got {value!r})"
        elif isinstance(known[key], float) and isinstance(value, int | float):
            continue
        elif not isinstance(value, type(known[key])):
            unfit[key] = f"must be {type(known[key]).__name__} (got {value!r})"
    return unfit


def _contradictions(how: Any) -> list[str]:
    """What no transform can be made with."""
    rate, n_fft, hop = (getattr(how, key, None) for key in ("sample_rate", "n_fft", "hop"))
    found = []
    if rate is not None and not 4000 <= rate <= 384000:
        found.append(f"sample_rate must be from 4000 to 384000 Hz (got {rate})")
    if n_fft is not None and (n_fft < 16 or n_fft % 2):
        found.append(f"n_fft must be even, at least 16 (got {n_fft})")
    if hop is not None and n_fft is not None and not 1 <= hop <= n_fft:
        found.append(f"hop must be from 1 to n_fft = {n_fft} (got {hop})")
    f_min, f_max = getattr(how, "f_min", 0.0), getattr(how, "f_max", None)
    if rate and f_max is not None and not 0 <= f_min < f_max <= rate / 2:
        found.append(f"0 <= f_min < f_max <= {rate / 2:g} Hz is needed (got {f_min}, {f_max})")
    for key in ("n_mels", "n_mfcc"):
        if getattr(how, key, 1) < 1:
            found.append(f"{key} must be at least 1 (got {getattr(how, key)})")
    if getattr(how, "n_mfcc", 0) > getattr(how, "n_mels", 0):
        found.append(f"n_mfcc must not be above n_mels = {how.n_mels} (got {how.n_mfcc})")
    return found


def _refused(path: Path, problems: list[str]) -> UserError:
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return UserError(
        f"{len(problems)} problem(s) in the representations:\n{listed}",
        where=str(path),
        remedy="correct them; ml/README.md lists every key",
    )
