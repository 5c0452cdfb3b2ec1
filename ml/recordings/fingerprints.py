"""Acoustic fingerprints: 32 bits per frame, robust to re-encoding, level and equalisation.

The method is that of Haitsma & Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002),
section 4.2. A bit is the sign of the change over time of the difference between two neighbouring
bands. Three things differ here:

- Fingerprints are computed from the stored log-mel spectrogram, without decoding the file again.
- Energies are compared in dB, so a gain and a smooth equaliser cancel completely.
- Our frames (93 ms, every 23 ms) overlap less than theirs (370 ms, every 11.6 ms). Powers are
  therefore averaged over 370 ms first. Otherwise a copy whose start lies between two of our frames
  would have different bits.

A frame with too little information (silence, a steady tone) is `SILENT` and never compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError

FRAMES_PER_SECOND = 22050 / 512  # of the default `MelTransform`
N_BITS = 32
FIRST_MEL, MELS_PER_BAND = 12, 2  # 33 bands between 0.2 and 3.2 kHz, which every codec preserves
MEAN_FRAMES = 16  # 372 ms, about the length of the paper's frames
LAG_FRAMES = 8  # 186 ms between the two times that are compared
RANGE_DB = 60.0  # levels further below the loudest band of the track count as silence
MIN_CHANGE_DB = 0.05  # a bit with a smaller change is unreliable
MIN_BITS = 24  # a frame with fewer reliable bits is `SILENT`
SILENT = np.uint32(0)  # the code of a frame with too little information


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of several tracks in one array.

    Attributes:
        codes: uint32 `[frame]`, a code per spectrogram frame, which may be `SILENT`.
        offsets: int64 `[track + 1]`; track `i` is `codes[offsets[i]:offsets[i + 1]]`.
    """

    codes: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def track(self, row: int) -> NDArray[np.uint32]:
        """uint32 `[frame]`: the codes of one track."""
        return self.codes[self.offsets[row] : self.offsets[row + 1]]

    @staticmethod
    def of(tracks: list[NDArray[np.uint32]]) -> "Fingerprints":
        """Collect the codes of several tracks, in this order."""
        offsets = np.zeros(len(tracks) + 1, np.int64)
        np.cumsum([len(codes) for codes in tracks], out=offsets[1:])
        codes = np.concatenate([np.zeros(0, np.uint32), *tracks])
        return Fingerprints(codes, offsets)


def fingerprint(log_mel: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Compute the fingerprint of one track.

    Args:
        log_mel: float `[frame, mel]`, dB of power, with the 128 bands of the default
            `MelTransform`.

    Returns:
        uint32 `[max(0, frame - 23)]`, 43.07 codes per second. Bit m of a code is 1 if the
        difference in dB between band m and band m + 1 increased over `LAG_FRAMES`.

    Raises:
        UserError: the spectrogram has too few mel bands.
    """
    end = FIRST_MEL + (N_BITS + 1) * MELS_PER_BAND
    if log_mel.ndim != 2 or log_mel.shape[1] < end:
        raise UserError(
            f"a spectrogram of shape {log_mel.shape} cannot be fingerprinted",
            where="melgraph.ml.recordings.fingerprints.fingerprint",
            remedy=f"give it [frame, mel] with at least {end} mel bands",
        )
    n_frames = len(log_mel) - MEAN_FRAMES - LAG_FRAMES + 1
    if n_frames <= 0:
        return np.zeros(0, np.uint32)
    decibels = log_mel[:, FIRST_MEL:end].astype(np.float32)
    power = np.exp(decibels * np.float32(np.log(10) / 10))
    bands = power.reshape(len(log_mel), N_BITS + 1, MELS_PER_BAND).sum(axis=2, dtype=np.float64)
    sums = np.cumsum(np.concatenate([np.zeros((1, N_BITS + 1)), bands]), axis=0)
    means = sums[MEAN_FRAMES:] - sums[:-MEAN_FRAMES]
    floor = max(float(means.max()) * 10 ** (-RANGE_DB / 10), 1e-30)
    levels = 10 * np.log10(np.maximum(means, floor))
    steps = levels[:, :-1] - levels[:, 1:]
    changes = steps[LAG_FRAMES:] - steps[:-LAG_FRAMES]
    weights = np.uint32(1) << np.arange(N_BITS, dtype=np.uint32)
    codes = ((changes > 0) * weights).sum(axis=1, dtype=np.uint32)
    n_reliable = (np.abs(changes) >= MIN_CHANGE_DB).sum(axis=1)
    codes[n_reliable < MIN_BITS] = SILENT
    return codes
