"""The part that all generators share: planning a recipe's sounds, and writing FLAC files.

A generator is a function from a `Source`, and a guide if it needs one, to a `Generated`;
`write_sounds` does everything else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.selection import count_sources, read_sources
from melgraph.assets.generation.sound_files import (
    Generated,
    Make,
    SoundWriter,
    finite,
    new_file,
)
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import current_references
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import GENERATORS
from melgraph.assets.ui import licence_text, progress_bar
from melgraph.ml.errors import UserError
from melgraph.ml.specs.methods.base import NOT_IN_THE_VERSION
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.files import write_json
from melgraph.storage.records import Reference, Spec

if TYPE_CHECKING:
    from melgraph.ml.generation.resynthesis import Resynthesis
    from melgraph.ml.generation.views import View

REPORT = "report.json"


class Sounds(Reader):
    """A committed artifact of a generator."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The facts of each sound."""
        rows: list[dict[str, Any]] = self.facts["sounds"]
        return rows

    @property
    def title(self) -> str:
        """The recipe's title."""
        title: str = self.facts["recipe"]
        return title

    @classmethod
    def of_all_generators(cls, store: ArtifactStore) -> list[Self]:
        """The current sounds of every recipe, whichever generator made them."""
        return [
            cls.at(store, reference)
            for stage in GENERATORS
            for reference in current_references(store, stage)
        ]

    def file(self, row: Mapping[str, Any], kind: str) -> Path:
        """The path of one file of a sound: `original`, `picture`, or the kind of the generator."""
        return self.artifact.folder / str(row["files"][kind])

    @staticmethod
    def new_file(row: Mapping[str, Any]) -> str:
        """The name of the FLAC file with the generated sound."""
        return new_file(row)

    @staticmethod
    def predictions(row: Mapping[str, Any]) -> tuple[str, str]:
        """What the network predicts for a sound before and after the edit, for people."""
        before, after = (
            "{label} ({probability:.0%})".format(**row[f"heard_{when}"])
            for when in ("before", "after")
        )
        return before, after


def plan_sounds(stage: Stage, context: Context, name: str) -> Spec:
    """The sounds of a recipe, by the current network that it names if it has one.

    Raises:
        UserError, StorageError: the model or the dataset does not exist yet.
    """
    recipe = context.specs.recipes[name]
    references: list[Reference] = []
    snapshot: Snapshot | None = None
    if recipe.experiment is not None:
        model = TrainedModel.current(context.store, recipe.experiment)
        references, snapshot = [model.reference], model.snapshot
    if recipe.generative_model is not None:
        network = GenerativeModel.current(context.store, recipe.generative_model)
        references, snapshot = [network.reference], network.snapshot
    if recipe.dataset is not None:
        try:
            snapshot = usable_snapshot(context.store, recipe.dataset)
        except (UserError, StorageError):
            if not recipe.names_all_songs:  # a request can do without a dataset
                raise
    elif recipe.trains is None:
        raise UserError(
            "the recipe names neither an experiment nor a dataset",
            where=f"recipe {name}",
            remedy='set dataset = "genres", for example: its held-out tracks are the sources',
        )
    if recipe.needs_guide and not recipe.has_guide:
        raise UserError(
            "the recipe needs a guide song, and names none",
            where=f"recipe {name}",
            remedy="set guide to the path of a track or guide_label to a label, or use "
            f"melgraph generate {name} --guide FILE_OR_TRACK",
        )
    if snapshot is not None:
        references += [snapshot.reference, *snapshot.tracks_references]
    config = recipe.dump_for_version(mode="json", exclude=NOT_IN_THE_VERSION)
    return stage.spec(name, tuple(references), config, recipe.seed)


def write_sounds(store: ArtifactStore, work: Work, make: Make, *, kind: str, title: str) -> None:
    """Generate a sound of each source; write both sounds, the picture and the report.

    Args:
        store: of the artifacts.
        work: of the sounds.
        make: the generator: (source, guide or None) -> sound.
        kind: of the sounds; it is part of the names of their files.
        title: of the sounds, in the file metadata.

    Raises:
        ArtifactCorrupt: the audio file of a track is missing or has another sound.
        UserError: the recipe names a track that the library does not have.
    """
    models = GenerativeModel.inputs_of(store, work.spec)
    trained_on = "; ".join(
        f"{model.n_training} recordings of {model.snapshot.reference}" for model in models
    )
    writer = SoundWriter(work, make, kind, title, licence_text(store, work), trained_on)
    rows = []
    with progress_bar(count_sources(store, work.spec), "sounds", work.spec.partition) as bar:
        for number, (source, guide) in enumerate(read_sources(store, work.spec), start=1):
            rows.append(writer.write(number, source, guide))
            bar.update()
    work.facts.update(sounds=rows, recipe=work.spec.config["title"])
    write_json(work.folder / REPORT, work.facts)


def edit_sound(
    model: Any,
    meta: Mapping[str, Any],
    source: Source,
    edit_db: np.ndarray,
    *,
    limit_db: float,
    titles: Sequence[str],
) -> Generated:
    """The excerpt with an edit of what the network sees, and what it predicts for both.

    The edit is applied to the full-resolution amplitude and phase; sample rate and channels stay.

    Args:
        model: the network whose predictions are reported.
        meta: the description in its checkpoint.
        source: the excerpt.
        edit_db: `[frame, row]`, in dB, of the picture of the excerpt; with a plane for each of the
            view's channels if it shows the phase.
        limit_db: the edit is clipped to this many dB, up and down.
        titles: of the picture's parts: the original, each plane of the edit, and the new sound.
    """
    from melgraph.ml import plots
    from melgraph.ml.generation.views import UNITS

    view, rate = view_of(meta, with_phase=True), source.sample_rate
    edited = view.apply(source.samples, rate, edit_db, limit_db=limit_db)
    before, after = (view.levels(samples, rate) for samples in (source.samples, edited.samples))
    units = [UNITS[channel] for channel in view.channels]
    png = plots.spectrogram_triptych(before, edit_db, after, view, titles=titles, units=units)
    inputs = (source.picture(view), view.picture(edited.samples, rate))
    return report_edit(view.network(model), meta, source, edited, inputs, png)


def report_edit(
    network: Any,
    meta: Mapping[str, Any],
    source: Source,
    edited: "Resynthesis",
    inputs: tuple[np.ndarray, np.ndarray],
    picture: bytes,
) -> Generated:
    """An edited excerpt, with what a network predicts before and after, and the figures of it.

    Args:
        network: as a function of its inputs.
        meta: the description in its checkpoint.
        source: the excerpt.
        edited: the new sound.
        inputs: what the network is given of the original and of the new sound.
        picture: PNG with the spectrograms.
    """
    from melgraph.ml.generation.resynthesis import snr_db

    facts = {
        "heard_before": _predict(network, meta, inputs[0]),
        "heard_after": _predict(network, meta, inputs[1]),
        "identity_snr_db": finite(edited.identity_snr_db),
        "snr_to_original_db": finite(
            snr_db(source.samples, edited.samples / np.float32(edited.gain))
        ),
        "gain": float(edited.gain),
    }
    if edited.phase_rms_rad is not None:
        facts["phase_edit_rms_rad"] = round(edited.phase_rms_rad, 4)
    return Generated(edited.samples, picture, facts)


def view_of(meta: Mapping[str, Any], *, with_phase: bool = False) -> "View":
    """How a network sees sound: as log-mel spectrograms, or as images of the amplitude.

    Args:
        meta: the description in the checkpoint of the network.
        with_phase: whether the generator can edit images of the phase, too.

    Raises:
        UserError: the network was trained on another representation.
    """
    from melgraph.ml.generation import views

    where = f"experiment {meta['experiment']}"
    return views.view_of(meta["input"], where=where, with_phase=with_phase)


def _predict(model: Any, meta: Mapping[str, Any], spectrogram: np.ndarray) -> dict[str, Any]:
    """The class that a network predicts, with its probability.

    Args:
        model: the network, as a function of its inputs.
        meta: the description in its checkpoint.
        spectrogram: `[frame, row]`, `[frame, row, channel]` or `[sample]`: its input.
    """
    from melgraph.ml.inference.tracks import predict_tracks

    (scores,) = predict_tracks(model, [spectrogram])
    best = int(scores.argmax())
    return {"label": meta["classes"][best], "probability": round(float(scores[best]), 4)}
