"""The list of representations: their parameters, their arrays, and a user's own settings.

A user's `representations.toml` overrides single parameters:

    [mel_spectrograms]
    n_mels = 64
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from melgraph.ml.errors import UserError
from melgraph.ml.features.track_features import FeatureOptions
from melgraph.ml.representations.waveforms import (
    HighRateWaveformTransform,
    WaveformTransform,
    quantise,
)
from melgraph.ml.spectral import (
    MelTransform,
    MfccTransform,
    StftTransform,
    amplitude_and_phase,
    log_mel,
    mel_frequencies,
    mfcc_from_log_mel,
)

MEL, FEATURES = "mel_spectrograms", "audio_features"
STFT, WAVEFORMS, MFCC = "stft_spectrograms", "waveforms", "mfcc"
WAVEFORMS_32K = "waveforms_32k"

FEATURE_RATE = 22050  # Hz: sample rate for the tabular features
Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A representation that is stored as arrays.

    Attributes:
        transform: the dataclass of its parameters.
        rows: (transform, float32 `[sample]`, complex64 `[bin, frame]` or None) -> the next rows of
            each array.
        arrays: name -> dtype.
        bins: transform -> number of bins; 0 if the array has one dimension.
        frequency: transform -> frequency of each bin, Hz; None if its bins are no frequencies.
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
    WAVEFORMS_32K: Kind(
        HighRateWaveformTransform, _waveform_rows, {"values": "int16"}, lambda how: 0
    ),
}
TRANSFORMS: dict[str, type] = {
    **{name: kind.transform for name, kind in KINDS.items()},
    FEATURES: FeatureOptions,
}


def frames_per_second(name: str, how: Any) -> float:
    """Rows per second of a representation's arrays; 0 for the tabular features."""
    if name == FEATURES:
        return 0.0
    return how.sample_rate / getattr(how, "hop", 1)


def from_attributes(name: str, attributes: Mapping[str, Any]) -> Any:
    """Rebuild a transform from the attributes of a store or a checkpoint."""
    transform = TRANSFORMS[name]
    return transform(**{field.name: attributes[field.name] for field in fields(transform)})


# --- a user's representations.toml --------------------------------------------------------------


def _check_number(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Accept a number as it is written: `8000` must not become `8000.0`, as versions hash it."""
    check(value)
    return value


def _check_hop(hop: int, info: ValidationInfo) -> int:
    n_fft = info.data.get("n_fft")  # absent if it is invalid itself; likewise below
    if n_fft is not None and hop > n_fft:
        raise PydanticCustomError("hop", "must be at most n_fft = {n_fft}", {"n_fft": n_fft})
    return hop


def _check_n_mfcc(n_mfcc: int, info: ValidationInfo) -> int:
    n_mels = info.data.get("n_mels")
    if n_mels is not None and n_mfcc > n_mels:
        raise PydanticCustomError("n_mfcc", "must be at most n_mels = {n_mels}", {"n_mels": n_mels})
    return n_mfcc


def _check_f_max(f_max: float, info: ValidationInfo) -> float:
    f_min, rate = info.data.get("f_min"), info.data.get("sample_rate")
    if f_min is not None and not f_min < f_max:
        raise PydanticCustomError("f_max", "must be above f_min = {f_min} Hz", {"f_min": f_min})
    if rate is not None and not f_max <= rate / 2:
        message = "must be at most {nyquist} Hz, half the sample rate"
        raise PydanticCustomError("f_max", message, {"nyquist": rate / 2})
    return f_max


_Number = Annotated[float, Strict(), WrapValidator(_check_number)]
_KEYS: dict[str, Any] = {  # in the order of validation: some checks need an earlier key
    "sample_rate": Annotated[int, Strict(), Field(ge=4000, le=384000)],
    "n_fft": Annotated[int, Strict(), Field(ge=16, multiple_of=2)],
    "hop": Annotated[int, Strict(), Field(ge=1), AfterValidator(_check_hop)],
    "n_mels": Annotated[int, Strict(), Field(ge=1)],
    "n_mfcc": Annotated[int, Strict(), Field(ge=1), AfterValidator(_check_n_mfcc)],
    "f_min": Annotated[_Number, Field(ge=0)],
    "f_max": Annotated[_Number, AfterValidator(_check_f_max)],
    "floor_db": _Number,
    "harmonic_percussive": Annotated[bool, Strict()],
    "tempo": Annotated[bool, Strict()],
    "window_s": _Number,
}


def _table_model(transform: type) -> type[BaseModel]:
    """The pydantic model of one table: the keys of `transform` with its default values."""
    defaults = {field.name: field.default for field in fields(transform)}
    keys: dict[str, Any] = {key: (_KEYS[key], defaults[key]) for key in _KEYS if key in defaults}
    config = ConfigDict(extra="forbid", validate_default=True)
    return create_model(transform.__name__, __config__=config, **keys)


_TABLES = {name: _table_model(transform) for name, transform in TRANSFORMS.items()}
_TABLE_FIELDS: dict[str, Any] = {name: (table, table()) for name, table in _TABLES.items()}
_File = create_model("_File", __config__=ConfigDict(extra="forbid"), **_TABLE_FIELDS)


def load_representations(path: Path) -> dict[str, Any]:
    """The transform of each representation: the defaults, overridden by a user's file.

    Args:
        path: the user's `representations.toml`; it need not exist.

    Raises:
        UserError: with every problem of the file, each with the file and its key.
    """
    if not path.is_file():
        return {name: transform() for name, transform in TRANSFORMS.items()}
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise _invalid(path, [f"not readable as TOML: {error}"]) from None
    except ValidationError as error:
        raise _invalid(path, [_describe(problem) for problem in error.errors()]) from None
    return {name: transform(**dict(getattr(file, name))) for name, transform in TRANSFORMS.items()}


def _describe(problem: ErrorDetails) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']} (got {problem['input']!r})"
    if len(problem["loc"]) == 1:
        return f"{key}: no such representation; there are {', '.join(TRANSFORMS)}"
    keys = (field.name for field in fields(TRANSFORMS[str(problem["loc"][0])]))
    return f"{key}: no such key; there are {', '.join(keys)}"


def _invalid(path: Path, problems: list[str]) -> UserError:
    return UserError(
        f"{len(problems)} problem(s) in the representations:\n"
        + "\n".join(f"  - {path}: {problem}" for problem in problems),
        where=str(path),
        remedy="correct them; ml/README.md lists every key",
    )
