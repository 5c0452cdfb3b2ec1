"""The steps that a recipe applies to a generated sound, as TOML has them. Imports no torch.

```toml
post = [{ step = "high_pass", cutoff_hz = 30 }, { step = "loudness", target_lufs = -16 }]
```
"""

from typing import Annotated, Literal

from pydantic import Field

from melgraph.ml.specs.base import TomlTable


class HighPass(TomlTable):
    """Removes what is below a frequency, without a shift in time."""

    step: Literal["high_pass"] = "high_pass"
    cutoff_hz: float = Field(
        30.0, gt=0, le=2000, description="frequency at which the level is 6 dB lower, Hz"
    )
    order: int = Field(4, ge=1, le=8, description="order of the Butterworth filter")


class SpectralGate(TomlTable):
    """Attenuates the parts of the spectrogram that are close to the noise floor of their bin."""

    step: Literal["spectral_gate"] = "spectral_gate"
    percentile: float = Field(
        10.0,
        ge=0,
        le=50,
        description="the noise floor of a bin is this percentile of its levels over time",
    )
    above_floor_db: float = Field(
        12.0, ge=0, le=40, description="levels higher above the noise floor than this remain, dB"
    )
    reduction_db: float = Field(12.0, gt=0, le=80, description="how much quieter the rest becomes")


class Loudness(TomlTable):
    """Changes the level so that the sound has a given loudness (EBU R 128)."""

    step: Literal["loudness"] = "loudness"
    target_lufs: float = Field(-16.0, ge=-40, le=-5, description="integrated loudness, LUFS")
    max_gain_db: float = Field(
        20.0, ge=0, le=60, description="the sound is amplified by at most this, dB"
    )


class TruePeakLimiter(TomlTable):
    """Lowers the level around peaks, so that the true peak stays below a ceiling."""

    step: Literal["true_peak_limiter"] = "true_peak_limiter"
    ceiling_db: float = Field(-1.0, ge=-20, le=0, description="highest true peak, dB")
    lookahead_ms: float = Field(
        5.0, gt=0, le=50, description="time in which the gain falls before a peak, ms"
    )
    release_db_s: float = Field(
        50.0, gt=0, le=1000, description="how fast the gain rises after a peak, dB a second"
    )


class Fades(TomlTable):
    """Fades the sound in and out, with half a period of a cosine."""

    step: Literal["fades"] = "fades"
    in_ms: float = Field(10.0, ge=0, le=10_000, description="length of the fade-in, ms")
    out_ms: float = Field(10.0, ge=0, le=10_000, description="length of the fade-out, ms")


PostStep = Annotated[
    HighPass | SpectralGate | Loudness | TruePeakLimiter | Fades, Field(discriminator="step")
]
"""One step of the post-processing; the key `step` chooses which."""
