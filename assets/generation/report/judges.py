"""The judges of generated sounds: trained models of the same dataset, and what they read in a file.

A judge must have had no part in making a sound. The network that made a sound, and networks that
it was trained from, do not judge it; nor does a model on the same published weights. If source or
guide is by an artist of the judge's training tracks, a probe is fitted again without this artist.
Any other model then does not judge the sound.
"""

import io
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import polars as pl

from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.assets.models.seen_tracks import models_behind
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.stages import DATASETS, GENERATIVE_MODELS, REPRESENTATIONS
from melgraph.assets.ui import progress_bar
from melgraph.ml.evaluation.champion import Contender, choose_champion
from melgraph.ml.specs.model_input import VECTORS, InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.home import write_aside
from melgraph.storage.licences import recorded_licences
from melgraph.storage.records import Reference

if TYPE_CHECKING:
    from melgraph.ml.inference.vectors import VectorExtractor
    from melgraph.ml.judging.cross_fitting import CrossFittedProbe

SONGS_PER_CLASS = 200  # recordings of a class that are compared with generated sounds, at most
_COLUMNS = ("track_id", "label", "group", "vector")  # of a song, in the cache
_DIGESTS = ("sha256", "weights_sha256")  # keys of a config that hold the digest of weights


@dataclass(frozen=True)
class Reading:
    """The predictions of a judge for one file, and the embeddings behind them.

    Attributes:
        probabilities: float `[class]`.
        vector: float32 `[dimension]`; None if the judge is no probe.
        segments: float32 `[segment, dimension]`, the embeddings of the tagger; None likewise.
    """

    probabilities: np.ndarray
    vector: np.ndarray | None = None
    segments: np.ndarray | None = None


@dataclass(frozen=True)
class Judge:
    """A trained model that judges generated sounds.

    Attributes:
        model: the model.
        is_champion: whether it is there as the champion of its dataset.
    """

    model: TrainedModel
    is_champion: bool

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.model.name

    @cached_property
    def dataset(self) -> str:
        """Name of the dataset that it was trained on."""
        return self.model.snapshot.name

    @property
    def classes(self) -> list[str]:
        """The classes that it predicts."""
        return self.model.classes

    @property
    def tagger(self) -> str | None:
        """The published tagger whose embeddings a probe takes; None for another model."""
        return _only_tagger(self.model)

    @cached_property
    def networks(self) -> frozenset[str]:
        """The networks that it consists of and follows from."""
        return networks_of(self.model.store, self.model.artifact)

    @cached_property
    def table(self) -> pl.DataFrame:
        """The songs of its dataset that are in a split."""
        return self.model.snapshot.used()

    @cached_property
    def training_groups(self) -> frozenset[Hashable]:
        """The artists and recordings that it was trained on."""
        return frozenset(self.table.filter(pl.col("split") == "train")["group"].to_list())

    @cached_property
    def _groups(self) -> dict[str, Hashable]:
        return dict(self.model.snapshot.table().select("track_id", "group").iter_rows())

    def groups_of(self, tracks: Iterable[str]) -> frozenset[Hashable]:
        """The groups of tracks in its dataset; a track without one is a group of its own."""
        groups = ((track, self._groups.get(track)) for track in tracks)
        return frozenset(track if group is None else group for track, group in groups)

    @cached_property
    def few(self) -> list[str]:
        """The classes with too few training songs or artists for a judge, for people."""
        from melgraph.ml.judging.cross_fitting import too_few

        train = self.table.filter(pl.col("split") == "train")
        return too_few(train["label"].to_list(), train["group"].to_list())

    def read(self, path: Path) -> Reading:
        """What it reads in a file.

        Raises:
            BadAudio: the file cannot be decoded.
        """
        from melgraph.ml.inference.model_input import arrays_of_file
        from melgraph.ml.inference.tracks import predict_tracks

        model, meta = self._loaded
        if self.tagger is None:
            return Reading(predict_tracks(model, [self._read_file(path)])[0])
        vector, segments = self._extractor.extract_segments(arrays_of_file(path, meta["input"]))
        (probabilities,) = predict_tracks(model, [vector.vector[None]])
        return Reading(probabilities, vector.vector, segments[self.tagger])

    @cached_property
    def songs(self) -> "Songs":
        """The real recordings of its dataset, in the embedding of a probe.

        They take longer than everything else and depend on the version of the judge alone, so the
        home's cache keeps them. They are computed again where the cache is lost or damaged.
        """
        path = self.model.store.home.cache / "judges" / f"{self.model.reference.version}.npz"
        songs = Songs.load(path)
        if songs is None:
            songs = Songs(list(self._read_songs()))
            songs.save(path)
        return songs

    @cached_property
    def cross_fitted(self) -> "CrossFittedProbe":
        """The same probe, fitted without the artists of the sound that it judges."""
        from melgraph.ml.judging.cross_fitting import CrossFittedProbe

        rows = self.songs.rows
        balance = self.model.recipe.get("training", {}).get("class_balance", 0.0)
        return CrossFittedProbe(
            self._loaded[0],
            np.stack([row["vector"] for row in rows]),
            np.array([self.classes.index(row["label"]) for row in rows]),
            [row["group"] for row in rows],
            class_balance=float(balance),
            seed=self.model.spec.seed or 0,
        )

    @cached_property
    def _loaded(self) -> tuple[Any, dict[str, Any]]:
        from melgraph.ml.weights import checkpoints

        return checkpoints.load(self.model.checkpoint_folder)

    @cached_property
    def _extractor(self) -> "VectorExtractor":
        from melgraph.ml.inference.vectors import load_extractor

        return load_extractor(self._loaded[1]["input"], self.model.checkpoint_folder)

    @cached_property
    def _read_file(self) -> Any:
        from melgraph.ml.inference.model_input import file_reader

        return file_reader(self._loaded[1]["input"], self.model.checkpoint_folder)

    def _read_songs(self) -> Iterator[dict[str, Any]]:
        store, extractor, tagger = self.model.store, self._extractor, self.tagger
        inputs = {
            name: TrackInputs(
                inputs_of(store, self.model.spec, REPRESENTATIONS[name]), InputSpec.whole(name)
            )
            for name in extractor.representations
        }
        table = self.table.sort("track_id").filter(pl.col("label").is_in(self.classes))
        table = table.group_by("label", maintain_order=True).head(SONGS_PER_CLASS)
        with progress_bar(table.height, "songs", f"{self.name}: real recordings") as bar:
            for row in table.select("track_id", "batch", "label", "group").iter_rows(named=True):
                arrays = {
                    name: each.tracks([row["batch"]], [row["track_id"]])[0]
                    for name, each in inputs.items()
                }
                vector, segments = extractor.extract_segments(arrays)
                yield row | {"vector": vector.vector, "segments": segments[str(tagger)]}
                bar.update()


@dataclass(frozen=True)
class Songs:
    """Real recordings.

    Attributes:
        rows: of each its `track_id`, `label`, `group`, `vector` (float32 `[dimension]`) and
            `segments` (float32 `[segment, dimension]`).
    """

    rows: list[dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> "Songs | None":
        """From the cache; None if the file is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                columns = {name: arrays[name] for name in arrays.files}
            segments = np.split(columns["segments"], np.cumsum(columns["counts"])[:-1])
            rows = zip(*(columns[name] for name in _COLUMNS), segments, strict=True)
            return cls([dict(zip((*_COLUMNS, "segments"), row, strict=True)) for row in rows])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def save(self, path: Path) -> None:
        """Into the cache, unless there are no songs."""
        if not self.rows:
            return
        file = io.BytesIO()
        columns: dict[str, Any] = {
            name: np.array([row[name] for row in self.rows]) for name in _COLUMNS
        }
        segments = [row["segments"] for row in self.rows]
        columns["counts"] = np.array([len(each) for each in segments])
        np.savez(file, **columns, segments=np.concatenate(segments))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_aside(path, file.getvalue())

    def of_class(
        self, label: str, *, without_groups: frozenset[Hashable], without: frozenset[str]
    ) -> list[dict[str, Any]]:
        """The songs of a class, without some artists and some tracks."""
        return [
            row
            for row in self.rows
            if row["label"] == label
            and row["group"] not in without_groups
            and row["track_id"] not in without
        ]


def judges_of(store: ArtifactStore, dataset: str) -> list[Judge]:
    """The probes on one published tagger that were trained on a dataset, and its champion.

    The champion is the one that `ml.evaluation.champion` chooses among the current models.
    """
    models = [
        model
        for model in TrainedModel.all_current(store)
        if not model.multi_label and _dataset_of(model) == dataset
    ]
    champion = _champion(models)
    return [
        Judge(model, model.name == champion)
        for model in models
        if model.name == champion or _only_tagger(model) is not None
    ]


def _dataset_of(model: TrainedModel) -> str | None:
    """The name of the dataset of a model; None if it has several."""
    names = {reference.partition for reference in model.spec.inputs if DATASETS.owns(reference)}
    return names.pop() if len(names) == 1 else None


def _champion(models: list[TrainedModel]) -> str | None:
    contenders = []
    for number, model in enumerate(models):
        curves = model.curves()
        best = curves.filter(pl.col("epoch") == model.facts["best_epoch"]).to_dicts()
        figures: Mapping[str, Any] = best[0] if best else {}
        snapshot = model.snapshot
        contenders.append(
            Contender(
                version=number,
                experiment=model.name,
                snapshot=snapshot.reference.version,
                snapshot_at=snapshot.artifact.record.finished_at,
                trained_at=model.artifact.record.started_at,
                accuracy=figures.get("validation_accuracy"),
                loss=figures.get("validation_loss"),
            )
        )
    champion = choose_champion(contenders).champion
    return None if champion is None else champion.experiment


def _only_tagger(model: TrainedModel) -> str | None:
    """The tagger of a probe whose vectors come from this tagger alone; None for another model."""
    how = InputSpec.model_validate(model.recipe["input"])
    if how.representation != VECTORS or model.recipe["model"]["architecture"] != "probe":
        return None
    return how.taggers[0] if len(how.taggers) == len(how.vector_sources) == 1 else None


def judge_inputs(judge: Judge) -> list[Reference]:
    """What a report reads of a judge: its model, its dataset, and the representations of songs."""
    if judge.tagger is None:
        references = [r for r in judge.model.spec.inputs if DATASETS.owns(r)]
    else:
        is_read = (DATASETS.name, *REPRESENTATIONS)
        references = [r for r in judge.model.spec.inputs if r.asset in is_read]
    return [judge.model.reference, *references]


def networks_of(store: ArtifactStore, artifact: Artifact) -> frozenset[str]:
    """The networks that an artifact was made with: trained models, and digests of weights.

    Trained models are named by their experiment, so that another version of the maker is no judge
    either.
    """
    inputs = artifact.record.spec.inputs
    specs = list(models_behind(store, [artifact.reference, *inputs]))
    specs += [store.get(one).record.spec for one in inputs if GENERATIVE_MODELS.owns(one)]
    digests = {entry["sha256"] for entry in recorded_licences(artifact.record)}
    for spec in (artifact.record.spec, *specs):
        digests |= set(_digests(spec.config))
    return frozenset({f"experiment {spec.partition}" for spec in specs} | digests)


def _digests(config: Any) -> Iterator[str]:
    """The digests of weights in a config, at any depth."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key in _DIGESTS and isinstance(value, str):
                yield value
            else:
                yield from _digests(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _digests(value)
