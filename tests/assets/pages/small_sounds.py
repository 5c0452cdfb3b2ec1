"""Sounds of the small home: noise, with the facts of a dream."""

import numpy as np
import soundfile

from melgraph.ml import plots
from melgraph.ml.spectral import MelTransform

RATE = 8000


def write_sound(work, number, track, guide=None) -> dict[str, object]:
    """Write the files of a dream, and return its row.

    With a guide, the row has all keys of today. Without one it is a row of melgraph 0.1, which
    stated neither the loudness nor where the excerpt starts.
    """
    kinds = (
        ["original", "dream"] if guide is None else ["original", "guide", "dream", "unprocessed"]
    )
    files = {kind: f"{number:02d}-song.{kind}.flac" for kind in kinds}
    rng = np.random.default_rng(number)
    for kind in kinds:
        noise = 0.1 * rng.standard_normal(2 * RATE)
        soundfile.write(work.folder / files[kind], noise, RATE, subtype="PCM_16")
    mel = rng.normal(-40, 8, (120, 128))
    delta = rng.normal(0, 3, mel.shape)
    files["picture"] = f"{number:02d}-song.png"
    picture = plots.spectrogram_triptych(mel, delta, mel + delta, MelTransform())
    (work.folder / files["picture"]).write_bytes(picture)
    row = {
        "track_id": track["track_id"],
        "path": track["path"],
        "label": track["label"],
        "files": files,
        "seconds": 2.0,
        "heard_before": {"label": "rock", "probability": 0.71},
        "heard_after": {"label": "ambient", "probability": 0.93},
        "activation_before": 1.0,
        "activation_after": 2.5,
        "identity_snr_db": 88.0,
        "snr_to_original_db": None if number == 1 else 7.25,
        "gain": 1.0,
    }
    if guide is None:
        return row
    return row | {
        "start_s": 61.5,
        "guide": {key: guide[key] for key in ("track_id", "path", "label")} | {"seconds": 2.0},
        "loudness_lufs": {"original": -14.0, "guide": -20.5, "dream": -17.25, "unprocessed": None},
        "post": [{"step": "high_pass"}, {"step": "true_peak_limiter"}],
    }
