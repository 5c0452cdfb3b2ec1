"""What every reader of a file gives: the sound piece by piece, and what the header promised."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from melgraph.ml.audio.errors import BadAudio

_RATES = (1_000, 1_536_000)  # Hz: beyond, a header is broken, and resampling would explode
_MOST_CHANNELS = 64


@dataclass
class Source:
    """An opened file. `pieces` can be read once, to its end; then `notes` and `hole` are final."""

    pieces: Iterator[np.ndarray]  # float32 [sample, channel], of the reader's sizes
    sample_rate: int  # Hz
    channels: int
    codec: str
    container: str
    promised_s: float | None  # what header or time stamps say; None where they say nothing reliable
    notes: list[str] = field(default_factory=list)  # what a person may want to know
    hole: bool = False  # sound was lost and more followed: not simply cut off

    def __post_init__(self) -> None:
        lowest, highest = _RATES
        if not lowest <= self.sample_rate <= highest:
            said = f"a sample rate of {self.sample_rate} Hz"
            raise BadAudio("undecodable", f"the header says {said}, not {lowest} to {highest}")
        if not 1 <= self.channels <= _MOST_CHANNELS:
            said = f"{self.channels} channels"
            raise BadAudio("undecodable", f"the header says {said}, not 1 to {_MOST_CHANNELS}")
