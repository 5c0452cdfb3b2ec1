"""Acoustic fingerprints: 32 bits a frame that survive re-encoding, levels and equalisers.

After Haitsma & Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002), section 4.2: a
bit is the sign of the change over time of the difference between two neighbouring bands. What is
ours: it is computed from the log-mel spectrogram that is stored anyway (no decode); energies are
compared in dB, so that a level and a smooth equaliser cancel altogether; as our frames (93 ms,
every 23 ms) overlap less than theirs (370 ms, every 11.6 ms), powers are first averaged over 370
ms, which is what makes the bits of a file that starts between two of our frames the same.

A frame that says too little (silence, a steady tone) is `SILENT`, and never compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError

FRAMES_PER_SECOND = 22050 / 512  # of the default `MelTransform`
N_BITS = 32
FIRST_MEL, MELS_PER_BAND = 12, 2  # 33 bands between 0.2 and 3.2 kHz: any codec keeps these
MEAN_FRAMES = 16  # 372 ms, as the paper's frames
LAG_FRAMES = 8  # 186 ms between the moments that are compared
RANGE_DB = 60.0  # what is more below the loudest band of the track counts as silence
MIN_CHANGE_DB = 0.05  # a smaller change says nothing
MIN_BITS = 24  # a frame of which fewer bits say something is `SILENT`
SILENT = np.uint32(0)  # instead of a code: this frame says nothing


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of some tracks, one after another.

    Attributes:
        codes: uint32 `[frame]`, a code per spectrogram frame; `SILENT` where a frame says nothing.
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
        """The fingerprints of these tracks, in order."""
        offsets = np.zeros(len(tracks) + 1, np.int64)
        np.cumsum([len(codes) for codes in tracks], out=offsets[1:])
        codes = np.concatenate([np.zeros(0, np.uint32), *tracks])
        return Fingerprints(codes, offsets)


def fingerprint(log_mel: NDArray[np.floating]) -> NDArray[np.uint32]:
    """The fingerprint of one track.

    Args:
        log_mel: float `[frame, mel]`, dB of power, 128 mel bands as of the default `MelTransform`.

    Returns:
        uint32 `[max(0, frame - 23)]`, 43.07 a second. Bit m of a code is 1 where the difference in
        dB between band m and band m + 1 grew over `LAG_FRAMES`.

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
    telling = (np.abs(changes) >= MIN_CHANGE_DB).sum(axis=1)
    codes[telling < MIN_BITS] = SILENT
    return codes
