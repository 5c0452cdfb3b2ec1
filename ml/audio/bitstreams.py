"""Find coded sound inside PCM samples: DTS, and AC-3 and others in frames of IEC 61937.

A CD or film track for a surround receiver holds such a stream in place of samples. Played as
samples it is loud noise, and every figure of it is that of noise.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from melgraph.ml.audio.source import BadAudio

_FULL_SCALE = 32768.0
_SEARCHED_S = 4.0  # seconds behind the leading silence
_REPEATS = 3  # equal distances between sync words; a stream has dozens in half a second
# Two sync words, and a mask and value of the word behind them: ETSI TS 102 114, annex A. Without
# the third word a loud square wave would look like DTS.
_SYNC = {
    "DTS": ((0x7FFE, 0x8001, 0xFC00, 0xFC00), (0x1FFF, 0xE800, 0xFFF0, 0x07F0)),
    "IEC 61937": ((0xF872, 0x4E1F, 0x0000, 0x0000),),
}
_CODECS = {  # data types of IEC 61937
    1: "AC-3", 4: "MPEG-1", 5: "MPEG-1", 6: "MPEG-2", 7: "AAC", 11: "DTS", 12: "DTS", 13: "DTS",
    17: "DTS-HD", 21: "E-AC-3", 22: "TrueHD",
}  # fmt: skip
_DATA_TYPE = 0x1F  # bits of the word behind the sync words
_Pattern = tuple[str, bool, int, int, int, int]  # name, bytes swapped, two words, mask, value


def _swap(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8


def _patterns() -> Iterator[_Pattern]:
    for name, all_words in _SYNC.items():
        for words in all_words:
            first, second, mask, value = words
            yield name, False, first, second, mask, value
            yield name, True, _swap(first), _swap(second), _swap(mask), _swap(value)


_PATTERNS = tuple(_patterns())


class BitstreamDetector:
    """Searches the beginning of the sound for sync words that repeat at equal distances.

    Args:
        most_values: how many values, counted from the first that is not zero, are searched.
    """

    def __init__(self, most_values: int) -> None:
        self._remaining = most_values
        self._rest = np.empty(0, np.float32)
        self._position = 0  # of the first value of `_rest`, in values since the first searched
        self._last: dict[int, int] = {}  # pattern -> position of its last sync words
        self._distances: dict[int, Counter[int]] = {}

    def add(self, samples: np.ndarray) -> str | None:
        """Add float32 `[sample, channel]`; the name of the coded stream once it is certain."""
        values = samples.reshape(-1)
        if not self._remaining:
            return None
        if not len(self._rest):  # nothing but zeros so far
            values = values[int(np.argmax(values != 0)) :] if np.any(values) else values[:0]
        values = values[: self._remaining]
        self._remaining -= len(values)
        values = np.concatenate([self._rest, values])
        for number, (name, swapped, first, second, mask, value) in enumerate(_PATTERNS):
            both = (values[:-2] == _as_sample(first)) & (values[1:-1] == _as_sample(second))
            for at in np.flatnonzero(both).tolist():
                third = round(float(values[at + 2]) * _FULL_SCALE) & 0xFFFF
                if third & mask == value and self._repeats(number, self._position + at):
                    kind = (_swap(third) if swapped else third) & _DATA_TYPE
                    return name if name == "DTS" else _CODECS.get(kind, name)
        self._position += max(0, len(values) - 2)
        self._rest = values[-2:].copy()
        return None

    def _repeats(self, pattern: int, position: int) -> bool:
        last = self._last.get(pattern)
        self._last[pattern] = position
        if last is None:
            return False
        distances = self._distances.setdefault(pattern, Counter())
        distances[position - last] += 1
        return distances[position - last] >= _REPEATS


def _as_sample(word: int) -> np.float32:
    return np.float32((word - 0x10000 if word & 0x8000 else word) / _FULL_SCALE)


def without_bitstreams(
    pieces: Iterator[np.ndarray], values_per_second: int
) -> Iterator[np.ndarray]:
    """The pieces of a file; raises as soon as they turn out to be a coded stream.

    Args:
        pieces: float32 `[sample, channel]`.
        values_per_second: sample rate times channels.

    Raises:
        BadAudio: bitstream.
    """
    detector = BitstreamDetector(int(_SEARCHED_S * values_per_second))
    for piece in pieces:
        if name := detector.add(piece):
            raise BadAudio("bitstream", f"the samples are a coded stream ({name}), not sound")
        yield piece
