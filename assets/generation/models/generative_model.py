"""The reader of a committed generative model: network, recordings, curves and samples."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.sources import Source
from melgraph.assets.models.trained_model import device
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import GENERATIVE_MODELS
from melgraph.ml.errors import UserError
from melgraph.storage.tables import read_table

CHECKPOINT, CURVES, CURVES_PICTURE = "checkpoint", "curves.parquet", "curves.png"
RECORDINGS, SAMPLES = "recordings.parquet", "samples.npz"
LEARNED, VALIDATED = "learned", "validation"  # parts of the recordings


class GenerativeModel(Reader):
    """A committed `generative_models`."""

    stage: ClassVar[Stage] = GENERATIVE_MODELS

    def load(self, kind: str | None = None) -> tuple[Any, dict[str, Any]]:
        """The network on the device of this machine, and the description in its checkpoint.

        Args:
            kind: the kind that is needed; None for any.

        Raises:
            UserError: the checkpoint is missing, was altered, or is of another kind.
        """
        from melgraph.ml.generative import checkpoints

        return checkpoints.load(self.artifact.folder / CHECKPOINT, device(), kind=kind)

    @property
    def kind(self) -> str:
        """The kind, as in the TOML file."""
        return str(self.spec.config["kind"])

    @property
    def title(self) -> str:
        """The title, as in the TOML file."""
        return str(self.spec.config["title"])

    @property
    def genres(self) -> list[str]:
        """The genres that it knows, in the order of its network."""
        genres: list[str] = self.facts["genres"]
        return genres

    def checked_genre(self, genre: str, *, where: str) -> str:
        """A genre, if the model knows it.

        Args:
            genre: the name.
            where: names the setting or the recording in the error message.

        Raises:
            UserError: the model does not know it.
        """
        if genre not in self.genres:
            raise UserError(
                f"the generative model {self.name!r} does not know the genre {genre!r}",
                where=where,
                remedy=f"use one of {', '.join(self.genres)}",
            )
        return genre

    @property
    def snapshot(self) -> Snapshot:
        """The dataset snapshot whose train side it learned from."""
        return Snapshot.input_of(self.store, self.spec)

    @cached_property
    def recordings(self) -> pl.DataFrame:
        """A row for each recording of the train side that was used: `track_id`, `path`, `genre`,
        `group`, `batch`, and `part`: `learned` or `validation`.
        """
        return read_table(self.artifact.folder / RECORDINGS)

    @property
    def n_training(self) -> int:
        """The number of recordings that it learned from, without those of the validation loss."""
        return self.recordings.filter(pl.col("part") == LEARNED).height

    @property
    def curves(self) -> pl.DataFrame:
        """A row per epoch, without times."""
        return read_table(self.artifact.folder / CURVES)

    @property
    def curves_picture(self) -> Path:
        """The PNG file with the curves."""
        return self.artifact.folder / CURVES_PICTURE

    @property
    def sheets(self) -> list[str]:
        """The names of the PNG files with the samples of each epoch, in order."""
        names = [name for name in self.artifact.record.files if name.startswith("epoch-")]
        return sorted(names, key=lambda name: (len(name), name))  # 1000 comes after 999

    @property
    def mlflow_run(self) -> str | None:
        """The id of its MLflow run; None without one."""
        return self.artifact.record.run.get("mlflow")

    def samples(self) -> Mapping[str, np.ndarray]:
        """What it made at the end of each epoch, always from the same noise or recordings.

        Returns:
            `values` `[epoch, sample, frame, bin]`, and `genres`, `tracks` and `starts` `[sample]`,
            as in `ml.generative.base.Samples`; `tracks` are rows of the validation recordings.
        """
        with np.load(self.artifact.folder / SAMPLES, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def genre_of(config: Mapping[str, Any], genres: Sequence[str], source: Source) -> str:
    """The genre of a sound: the one that a recipe names, or that of the recording.

    Args:
        config: of the recipe.
        genres: that the network knows.
        source: the recording.

    Raises:
        UserError: the network does not know the genre of the recording, or the recording has none.
    """
    genre = config["genre"] or source.label
    if genre in genres:
        return str(genre)
    words = "no genre" if source.label is None else f"the genre {source.label!r}"
    raise UserError(
        f"the recording has {words}, and the model knows {', '.join(genres)}",
        where=str(source.track["path"]),
        remedy="set genre in the recipe to one of these",
    )


def tracks_of_models(several: list[GenerativeModel]) -> frozenset[str]:
    """The ids of all recordings that generative models have used."""
    return frozenset(track for model in several for track in model.recordings["track_id"].to_list())
