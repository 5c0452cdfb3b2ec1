"""The part that all generators share: planning a recipe's sounds, and writing FLAC files.

A generator is a function from a `Source`, and a guide if it needs one, to a `Generated`;
`write_sounds` does everything else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.generation.sources import Source, count_sources, read_sources
from melgraph.assets.materialize import current_references
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import GENERATORS
from melgraph.assets.ui import licence_text, progress_bar
from melgraph.ml.errors import UserError
from melgraph.ml.specs.methods.base import NOT_IN_THE_VERSION
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Recording, Reference, Spec

if TYPE_CHECKING:
    from melgraph.ml.generation.views import View

REPORT = "report.json"


GUIDE, UNPROCESSED = "guide", "unprocessed"  # files of a sound; the latter before post-processing
SHARED_FILES = frozenset({"original", GUIDE, UNPROCESSED, "picture"})  # beside the sound itself


@dataclass(frozen=True)
class Generated:
    """A generated sound.

    Attributes:
        samples: of the same shape and sample rate as the source.
        picture: PNG with the spectrograms before and after.
        facts: figures of the generator, ready for JSON.
    """

    samples: np.ndarray
    picture: bytes
    facts: dict[str, Any]


Make = Callable[[Source, Source | None], Generated]


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
        (name,) = (row["files"][kind] for kind in row["files"].keys() - SHARED_FILES)
        return str(name)

    @staticmethod
    def predictions(row: Mapping[str, Any]) -> tuple[str, str]:
        """What the network predicts for a sound before and after the edit, for people."""
        before, after = (
            "{label} ({probability:.0%})".format(**row[f"heard_{when}"])
            for when in ("before", "after")
        )
        return before, after


def plan_sounds(stage: Stage, context: Context, name: str) -> Spec:
    """The sounds of a recipe, by the current model of its experiment if it has one.

    Raises:
        UserError, StorageError: the model or the dataset does not exist yet.
    """
    recipe = context.specs.recipes[name]
    references: list[Reference] = []
    if recipe.experiment is not None:
        model = TrainedModel.current(context.store, recipe.experiment)
        references, snapshot = [model.reference], model.snapshot
    if recipe.dataset is not None:
        snapshot = usable_snapshot(context.store, recipe.dataset)
    elif recipe.experiment is None:
        raise UserError(
            "the recipe names neither an experiment nor a dataset",
            where=f"recipe {name}",
            remedy='set dataset = "genres", for example: its held-out tracks are the sources',
        )
    if recipe.needs_guide and recipe.guide is None and recipe.guide_label is None:
        raise UserError(
            "the recipe needs a guide song, and names none",
            where=f"recipe {name}",
            remedy="set guide to the path of a track or guide_label to a label, or use "
            f"melgraph generate {name} --guide FILE_OR_TRACK",
        )
    inputs = (*references, snapshot.reference, *snapshot.tracks_references)
    config = recipe.dump_for_version(exclude=NOT_IN_THE_VERSION)
    return stage.spec(name, inputs, config, recipe.seed)


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
    licences = licence_text(store, work)
    rows = []
    with progress_bar(count_sources(store, work.spec), "tracks", work.spec.asset) as bar:
        for number, (source, guide) in enumerate(read_sources(store, work.spec), start=1):
            rows.append(write_sound(work, number, source, guide, make, kind, title, licences))
            bar.update()
    work.facts.update(sounds=rows, recipe=work.spec.config["title"])
    write_json(work.folder / REPORT, work.facts)


def write_sound(
    work: Work,
    number: int,
    source: Source,
    guide: Source | None,
    make: Make,
    kind: str,
    title: str,
    licences: str,
) -> dict[str, Any]:
    """Generate one sound, write its files, and return its facts.

    Args:
        work: of the sounds; it receives the recordings.
        number: of the source, from 1.
        source: the excerpt.
        guide: the song towards which it is moved; None for a method without one.
        make: the generator.
        kind: of the sounds; it is part of the names of their files.
        title: of the sounds, in the file metadata.
        licences: of the weights, in the file metadata.
    """
    name = f"{number:02d}-{_slug(Path(source.track['path']).stem)}"
    generated = make(source, guide)
    samples, steps = _post_process(work.spec, source, generated.samples)
    files = {"original": f"{name}.original.flac", kind: f"{name}.{kind}.flac"}
    sounds = {"original": (source, source.samples), kind: (source, samples)}
    _write_flac(work, files["original"], source, source.samples, "excerpt")
    _write_flac(work, files[kind], source, samples, title, licences, guide)
    if steps:
        files[UNPROCESSED] = f"{name}.{UNPROCESSED}.flac"
        sounds[UNPROCESSED] = (source, generated.samples)
        without = f"{title}, without post-processing"
        _write_flac(work, files[UNPROCESSED], source, generated.samples, without, licences, guide)
    if guide is not None:
        files[GUIDE] = f"{name}.{GUIDE}.flac"
        sounds[GUIDE] = (guide, guide.samples)
        _write_flac(work, files[GUIDE], guide, guide.samples, "excerpt")
    files["picture"] = f"{name}.png"
    (work.folder / files["picture"]).write_bytes(generated.picture)
    for song, names in ((source, tuple(files.values())), (guide, (files.get(kind, ""),))):
        if song is not None:
            track = song.track
            recording = Recording(track["track_id"], song.sha256, track["path"], names)
            work.recordings.append(recording)
    return {
        **_about(source),
        "files": files,
        **({} if guide is None else {"guide": _about(guide)}),
        **({"post": steps} if steps else {}),
        "loudness_lufs": {name: _loudness(*sound) for name, sound in sounds.items()},
        **generated.facts,
    }


def _post_process(
    spec: Spec, source: Source, samples: np.ndarray
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The sound after the steps of the recipe, and what each step measured."""
    if not spec.config.get("post"):
        return samples, []
    from pydantic import TypeAdapter

    from melgraph.ml.generation import post_processing
    from melgraph.ml.specs.methods.post_processing import PostStep

    steps = TypeAdapter(list[PostStep]).validate_python(spec.config["post"])
    return post_processing.apply(samples, source.sample_rate, steps)


def _loudness(source: Source, samples: np.ndarray) -> float | None:
    """Loudness by EBU R 128, LUFS, with which players match sounds; None for silence."""
    from melgraph.ml.audio import loudness_lufs

    return _finite(loudness_lufs(samples, source.sample_rate))


def _about(song: Source) -> dict[str, Any]:
    """Which song, and which excerpt of it."""
    about = {key: song.track.get(key) for key in ("track_id", "path", "label", "split")}
    return {**about, "start_s": round(song.start_s, 2), "seconds": round(song.seconds, 2)}


def edit_sound(
    model: Any,
    meta: Mapping[str, Any],
    source: Source,
    edit_db: np.ndarray,
    *,
    limit_db: float,
    titles: tuple[str, str, str],
) -> Generated:
    """The excerpt with an edit of what the network sees, and what it predicts for both.

    The edit is applied to the full-resolution amplitude; phase, sample rate and channels stay.

    Args:
        model: the network whose predictions are reported.
        meta: the description in its checkpoint.
        source: the excerpt.
        edit_db: `[frame, row]`, in dB, of the picture of the excerpt.
        limit_db: the edit is clipped to this many dB, up and down.
        titles: of the picture's parts: the original, the edit, and the new sound.
    """
    from melgraph.ml import plots
    from melgraph.ml.generation.resynthesis import snr_db

    view = view_of(meta)
    network = view.network(model)
    edited = view.apply(source.samples, source.sample_rate, edit_db, limit_db=limit_db)
    before = source.picture(view)
    after = view.picture(edited.samples, source.sample_rate)
    return Generated(
        edited.samples,
        plots.spectrogram_triptych(before, edit_db, after, view, titles=titles),
        {
            "heard_before": _predict(network, meta, before),
            "heard_after": _predict(network, meta, after),
            "identity_snr_db": _finite(edited.identity_snr_db),
            "snr_to_original_db": _finite(
                snr_db(source.samples, edited.samples / np.float32(edited.gain))
            ),
            "gain": float(edited.gain),
        },
    )


def view_of(meta: Mapping[str, Any]) -> "View":
    """How a network sees sound: as log-mel spectrograms, or as images of the amplitude.

    Args:
        meta: the description in the checkpoint of the network.

    Raises:
        UserError: the network was trained on another representation.
    """
    from melgraph.ml.generation import views

    return views.view_of(meta["input"], where=f"experiment {meta['experiment']}")


def _predict(model: Any, meta: Mapping[str, Any], spectrogram: np.ndarray) -> dict[str, Any]:
    """The class that a network predicts, with its probability.

    Args:
        model: the network, as a function of what it sees in dB.
        meta: the description in its checkpoint.
        spectrogram: `[frame, row]`, dB: what it sees.
    """
    from melgraph.ml.inference.tracks import predict_tracks

    (scores,) = predict_tracks(model, [spectrogram])
    best = int(scores.argmax())
    return {"label": meta["classes"][best], "probability": round(float(scores[best]), 4)}


def _finite(value: float | None) -> float | None:
    """A figure with two decimals, ready for JSON; None for infinity and NaN."""
    return round(float(value), 2) if value is not None and np.isfinite(value) else None


def _write_flac(
    work: Work,
    name: str,
    source: Source,
    samples: np.ndarray,
    title: str,
    licences: str = "",
    guide: Source | None = None,
) -> None:
    """Write a 16-bit FLAC file with its title and provenance as file metadata, reproducibly."""
    import soundfile
    from mutagen.flac import FLAC

    path, track = work.folder / name, source.track
    soundfile.write(path, samples, source.sample_rate, subtype="PCM_16")
    file = FLAC(path)
    file["title"] = f"{track.get('title') or Path(track['path']).stem} ({title})"
    if track.get("artist"):
        file["artist"] = track["artist"]
    file["comment"] = "made by melgraph"
    file["melgraph_record"] = str(work.spec.reference)
    file["melgraph_track_id"] = track["track_id"]
    file["melgraph_source"] = track["path"]
    if guide is not None:
        file["melgraph_guide"] = guide.track["path"]
    if licences:
        file["melgraph_weights_licence"] = licences
    file.save()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:40] or "track"
