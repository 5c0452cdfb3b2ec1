"""Pictures of wrong predictions: the track beside typical tracks of both classes."""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.assets.stages import MEL_SPECTROGRAMS
from melgraph.storage.artifacts import ArtifactStore, Work

MOST, EXCERPT_S = 6, 10.0  # pictures; seconds of each track


def write_wrong_answers(
    store: ArtifactStore,
    work: Work,
    table: pl.DataFrame,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
) -> list[dict[str, Any]]:
    """Draw the tracks that were misclassified with the highest probability.

    Args:
        store: of the artifacts.
        work: of the evaluation; the mel spectrograms are among its inputs.
        table: the test tracks.
        probabilities: float `[track, class]`.
        labels: int `[track]`, the number of each track's class.
        classes: names of the classes.

    Returns:
        A description of each picture: file name, label, prediction, probability and tracks.
    """
    from melgraph.ml import plots
    from melgraph.ml.evaluation.wrong_answers import wrong_answers
    from melgraph.ml.spectral.mfcc import MfccTransform, mfcc_from_log_mel

    mel = TrackInputs(inputs_of(store, work.spec, MEL_SPECTROGRAMS))
    transform = mel.transform
    mfcc = MfccTransform(
        n_mels=transform.n_mels,
        n_mfcc=min(20, transform.n_mels),
        **{k: getattr(transform, k) for k in ("sample_rate", "n_fft", "hop", "f_min", "f_max",
                                              "floor_db")},
    )  # fmt: skip

    def excerpt(row: int) -> np.ndarray:
        (view,) = mel.tracks([table["batch"][row]], [table["track_id"][row]])
        length = transform.frames(EXCERPT_S)
        start = max(0, (len(view) - length) // 2)
        return np.asarray(view[start : start + length], np.float32)

    def column(title: str, row: int | None) -> tuple[str, np.ndarray, np.ndarray] | None:
        if row is None:
            return None
        log_mel = excerpt(row)
        return title, log_mel, mfcc_from_log_mel(log_mel, mfcc)

    descriptions = []
    for number, wrong in enumerate(wrong_answers(probabilities, labels, most=MOST), start=1):
        predicted = int(probabilities[wrong.row].argmax())
        label, prediction = classes[labels[wrong.row]], classes[predicted]
        columns = [
            column(f"{label}, taken for {prediction}", wrong.row),
            column(f"a typical {label}", wrong.typical_of_truth),
            column(f"a typical {prediction}", wrong.typical_of_answer),
        ]
        name = f"wrong-{number}.png"
        (work.folder / name).write_bytes(plots.sound_comparison(columns, transform))
        rows = {"track": wrong.row, "like_truth": wrong.typical_of_truth,
                "like_answer": wrong.typical_of_answer}  # fmt: skip
        descriptions.append(
            {
                "picture": name,
                "label": label,
                "prediction": prediction,
                "probability": round(float(probabilities[wrong.row, predicted]), 4),
                "tracks": {
                    kind: None
                    if row is None
                    else {"track_id": table["track_id"][row], "path": table["path"][row]}
                    for kind, row in rows.items()
                },
            }
        )
    return descriptions
