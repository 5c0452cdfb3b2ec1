"""What opening an audio file gives: a `Source` of samples, or `BadAudio` if it cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

_RATES = (1_000, 1_536_000)  # Hz: outside of these the header is broken; resampling would explode
_MOST_CHANNELS = 64


class BadAudio(Exception):
    """An audio file that cannot be used.

    Args:
        code: stable, short, kebab-case; docs/error-codes.md lists all codes.
        reason: a sentence with the measured values.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason

    def __reduce__(self) -> tuple[type["BadAudio"], tuple[str, str]]:
        """Pickle both arguments, so that a child process can raise it in its parent."""
        return type(self), (self.code, self.reason)


@dataclass
class Source:
    """An opened file, as every reader returns it.

    `pieces` can be read once. After its end, `notes` and `hole` do not change any more.

    Raises:
        BadAudio: undecodable, if the sample rate or the number of channels is implausible.
    """

    pieces: Iterator[np.ndarray]  # float32 [sample, channel], of any number of samples
    sample_rate: int  # Hz
    channels: int
    codec: str
    container: str
    promised_s: (
        float | None
    )  # length in the header or time stamps; None if there is no reliable one
    notes: list[str] = field(default_factory=list)  # warnings for a person
    hole: bool = False  # samples are missing in the middle, so the file was not simply cut off
    damaged: bool = False  # packets did not decode, wherever they lie

    def __post_init__(self) -> None:
        lowest, highest = _RATES
        if not lowest <= self.sample_rate <= highest:
            value = f"a sample rate of {self.sample_rate} Hz"
            raise BadAudio("undecodable", f"the header says {value}, not {lowest} to {highest}")
        if not 1 <= self.channels <= _MOST_CHANNELS:
            value = f"{self.channels} channels"
            raise BadAudio("undecodable", f"the header says {value}, not 1 to {_MOST_CHANNELS}")
