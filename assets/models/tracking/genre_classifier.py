"""The registered model, as MLflow loads it: genres from audio file paths.

`mlflow.pyfunc.load_model("models:/genres@champion").predict(["song.mp3"])` answers with a table:
one row per file, the predicted class, its probability, that of every class, and for a file that
could not be used the reason instead. A model that answers tags predicts the likeliest one, and says
which are likelier than not.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

LIKELY = 0.5


class GenreClassifier(PythonModel):
    """A trained checkpoint with the front end it was trained on."""

    def load_context(self, context: Any) -> None:
        """Load the checkpoint."""
        from melgraph.ml.weights import checkpoints

        self.model, self.meta = checkpoints.load(Path(context.artifacts["checkpoint"]))

    def predict(  # MLflow reads the model's signature from the hint of `model_input`
        self, context: Any, model_input: list[str], params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Classify audio files.

        Args:
            context: of MLflow, not used.
            model_input: list of paths of audio files.
            params: none are used.

        Returns:
            A table: path, prediction, probability, one column per class, problem. Of tags there
            is `tags` too: those of a probability of at least 0.5, the likeliest first; most of the
            time that is none of the rare ones, whose columns say more.
        """
        from melgraph.ml.audio import BadAudio
        from melgraph.ml.inference.model_input import input_of_file
        from melgraph.ml.inference.tracks import predict_tracks

        rows: list[dict[str, Any]] = []
        for path in model_input:
            row: dict[str, Any] = {"path": path, "prediction": None, "probability": None}
            try:
                given = input_of_file(Path(path), self.meta["input"])
                (scores,) = predict_tracks(
                    self.model, [given], aggregate=self.meta.get("aggregate", "mean")
                )
                by_class = dict(zip(self.meta["classes"], map(float, scores), strict=True))
                best = max(by_class, key=by_class.__getitem__)
                row.update(prediction=best, probability=by_class[best], **by_class, problem=None)
                if self.model.multi_label:
                    likely = [name for name in by_class if by_class[name] >= LIKELY]
                    row["tags"] = sorted(likely, key=by_class.__getitem__, reverse=True)
            except (BadAudio, OSError) as error:
                row.update(problem=str(error))
            rows.append(row)
        tags = ["tags"] if self.model.multi_label else []
        names = ["path", "prediction", "probability", *tags, *self.meta["classes"], "problem"]
        return pd.DataFrame(rows, columns=names)


mlflow.models.set_model(GenreClassifier())
