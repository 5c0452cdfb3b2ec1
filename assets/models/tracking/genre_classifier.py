"""The registered model, as MLflow loads it: it predicts genres from the paths of audio files.

`mlflow.pyfunc.load_model("models:/genres@champion").predict(["song.mp3"])` returns a table with one
row per file: the predicted class, its probability, the probability of every class, and the reason
if a file cannot be used. A model of tags predicts the most probable tag, and lists all tags with a
probability of at least 0.5.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

LIKELY = 0.5  # smallest probability of a tag that is listed


class GenreClassifier(PythonModel):
    """A trained checkpoint, with the representation that it was trained on."""

    def load_context(self, context: Any) -> None:
        """Load the checkpoint."""
        from melgraph.ml.inference.model_input import file_reader
        from melgraph.ml.weights import checkpoints

        folder = Path(context.artifacts["checkpoint"])
        self.model, self.meta = checkpoints.load(folder)
        self.read = file_reader(self.meta["input"], folder)

    def predict(  # MLflow reads the signature of the model from the type hint of `model_input`
        self, context: Any, model_input: list[str], params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Classify audio files.

        Args:
            context: of MLflow; not used.
            model_input: paths of audio files.
            params: not used.

        Returns:
            A table with the columns `path`, `prediction`, `probability`, one per class, `caution`
            (that a file is so short that it was repeated) and `problem`. A model of tags adds the
            column `tags`: the tags with a probability of at least 0.5, the most probable first.
            Rare tags seldom reach 0.5, so compare their columns instead. Empty cells are None, so
            that a scoring server answers `null`: NaN is not JSON. A column of numbers is of type
            object if a file has a problem, else float.
        """
        from melgraph.ml.audio import BadAudio
        from melgraph.ml.inference.short_clips import read_clip
        from melgraph.ml.inference.tracks import predict_tracks

        tags = ["tags"] if self.model.multi_label else []
        after = ["caution", "problem"]
        names = ["path", "prediction", "probability", *tags, *self.meta["classes"], *after]
        rows: list[dict[str, Any]] = []
        for path in model_input:
            row: dict[str, Any] = dict.fromkeys(names) | {"path": path}
            try:
                clip = read_clip(Path(path), self.meta["input"], self.model.shape.frames, self.read)
                (scores,) = predict_tracks(self.model, [clip.array])
                row["caution"] = clip.caution
                by_class = dict(zip(self.meta["classes"], map(float, scores), strict=True))
                best = max(by_class, key=by_class.__getitem__)
                row.update(prediction=best, probability=by_class[best], **by_class)
                if self.model.multi_label:
                    likely = [name for name in by_class if by_class[name] >= LIKELY]
                    row["tags"] = sorted(likely, key=by_class.__getitem__, reverse=True)
            except (BadAudio, OSError) as error:
                row.update(problem=str(error))
            rows.append(row)
        table = pd.DataFrame(rows, columns=names, dtype=object)
        if any(row["problem"] for row in rows):
            return table
        return table.astype(dict.fromkeys(["probability", *self.meta["classes"]], float))


mlflow.models.set_model(GenreClassifier())
