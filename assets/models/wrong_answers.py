"""Pictures of wrong answers: the track beside typical ones of both classes."""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.storage.artifacts import ArtifactStore, Work

MOST, EXCERPT_S = 6, 10.0


def write_wrong_answers(
    store: ArtifactStore,
    work: Work,
    table: pl.DataFrame,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
) -> list[dict[str, Any]]:
    """Draw the most confidently wrong tracks, and say what is in each picture.

    Args:
        store: of the artifacts.
        work: the evaluation in the making; the mel spectrograms are among its inputs.
        table: the test tracks.
        probabilities: float `[track, class]`.
        labels: int `[track]`.
        classes: names.
    """
    from melgraph.ml import plots
    from melgraph.ml.evaluation.wrong_answers import wrong_answers
    from melgraph.ml.spectral.mfcc import MfccTransform, mfcc_from_log_mel

    mel = TrackInputs(inputs_of(store, work.spec, ingest.MEL))
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
        sound = excerpt(row)
        return title, sound, mfcc_from_log_mel(sound, mfcc)

    told = []
    for number, wrong in enumerate(wrong_answers(probabilities, labels, most=MOST), start=1):
        answer = int(probabilities[wrong.row].argmax())
        truth, taken_for = classes[labels[wrong.row]], classes[answer]
        columns = [
            column(f"{truth}, taken for {taken_for}", wrong.row),
            column(f"a typical {truth}", wrong.typical_of_truth),
            column(f"a typical {taken_for}", wrong.typical_of_answer),
        ]
        name = f"wrong-{number}.png"
        (work.folder / name).write_bytes(plots.compared_sounds(columns, transform))
        rows = {"track": wrong.row, "like_truth": wrong.typical_of_truth,
                "like_answer": wrong.typical_of_answer}  # fmt: skip
        told.append(
            {
                "picture": name,
                "label": truth,
                "prediction": taken_for,
                "probability": round(float(probabilities[wrong.row, answer]), 4),
                "tracks": {
                    kind: None
                    if row is None
                    else {"track_id": table["track_id"][row], "path": table["path"][row]}
                    for kind, row in rows.items()
                },
            }
        )
    return told
