"""The part that all generators share: selecting tracks, decoding them, and writing FLAC files.

A generator is a function from a `Source` to a `Generated`; `write_sounds` does everything else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.identity import identity_of
from melgraph.assets.materialize import current_references
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import DATASETS, GENERATORS
from melgraph.assets.ui import licence_text, progress_bar
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore, Work, file_sha256
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.files import write_json
from melgraph.storage.home import Home
from melgraph.storage.records import Recording, Spec

if TYPE_CHECKING:
    from melgraph.ml.audio import Decoded
    from melgraph.ml.generation.views import View

REPORT = "report.json"


@dataclass(frozen=True)
class Source:
    """An excerpt of a track, from which a sound is generated.

    Attributes:
        track: its row in the snapshot of the dataset.
        samples: float32 `[sample]` or `[sample, channel]`, at the sample rate of the file.
        sample_rate: Hz.
        sha256: of the audio file that was read.
    """

    track: Mapping[str, Any]
    samples: np.ndarray
    sample_rate: int
    sha256: str

    def picture(self, view: "View") -> np.ndarray:
        """What a network sees of the excerpt, in mono: float32 `[frame, row]`, dB."""
        return view.picture(self.samples, self.sample_rate)


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
        (name,) = (row["files"][kind] for kind in row["files"].keys() - {"original", "picture"})
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
    """The sounds of a recipe, by the current model of its experiment."""
    recipe = context.specs.recipes[name]
    assert recipe.experiment is not None, "a recipe of a method that needs an experiment"
    model = TrainedModel.current(context.store, recipe.experiment)
    snapshot = next(filter(DATASETS.owns, model.spec.inputs))
    tracks = Snapshot.at(context.store, snapshot).tracks_references
    inputs = (model.reference, snapshot, *tracks)
    return stage.spec(name, inputs, recipe.dump_for_version(), recipe.seed)


def write_sounds(
    store: ArtifactStore,
    work: Work,
    make: Callable[[Source], Generated],
    *,
    kind: str,
    title: str,
) -> None:
    """Generate a sound of each selected track; write both sounds, the picture and the report.

    Args:
        store: of the artifacts.
        work: of the sounds.
        make: the generator.
        kind: of the sounds; it is part of the names of their files.
        title: of the sounds, in the file metadata.

    Raises:
        ArtifactCorrupt: the audio file of a track is missing or has another sound.
        UserError: the recipe names a track that the dataset does not have.
    """
    tracks = _select_tracks(store, work.spec)
    licences = licence_text(store, work)
    rows = []
    with progress_bar(len(tracks), "tracks", work.spec.asset) as bar:
        for number, track in enumerate(tracks, start=1):
            name = f"{number:02d}-{_slug(Path(track['path']).stem)}"
            source = _read_excerpt(store.home, work.spec, track)
            generated = make(source)
            files = {
                "original": f"{name}.original.flac",
                kind: f"{name}.{kind}.flac",
                "picture": f"{name}.png",
            }
            _write_flac(work, files["original"], source, source.samples, "excerpt")
            _write_flac(work, files[kind], source, generated.samples, title, licences)
            (work.folder / files["picture"]).write_bytes(generated.picture)
            about = {key: track[key] for key in ("track_id", "path", "label")}
            seconds = round(len(source.samples) / source.sample_rate, 2)
            rows.append({**about, "files": files, "seconds": seconds, **generated.facts})
            work.recordings.append(
                Recording(
                    track["track_id"],
                    source.sha256,
                    track["path"],
                    tuple(files.values()),
                )
            )
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


def _finite(value: float) -> float | None:
    """A figure with two decimals, ready for JSON; None for infinity and NaN."""
    return round(float(value), 2) if np.isfinite(value) else None


def _select_tracks(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """The track that the recipe names, or held-out tracks of different labels if possible."""
    table = Snapshot.input_of(store, spec).table()
    path = spec.config["path"]
    if path is not None:
        table = table.filter(pl.col("path") == path)
        if table.height == 0:
            raise UserError(
                f"no track of the dataset has the path {path!r}",
                where=f"recipe {spec.partition}: path",
                remedy="use a path relative to the library, as in the column `path` of `tracks`",
            )
        return table.to_dicts()
    held_out = table.filter(pl.col("split").is_in(["test", "validation"])).sort("track_id")
    first_of_each = held_out.unique("label", keep="first", maintain_order=True)
    rest = held_out.join(first_of_each, on="track_id", how="anti")
    return pl.concat([first_of_each, rest]).head(spec.config["tracks"]).to_dicts()


def _read_excerpt(home: Home, spec: Spec, track: Mapping[str, Any]) -> Source:
    """The excerpt that the recipe describes; it starts earlier if the track is short."""
    decoded, sha256 = _decode(home, track)
    rate = decoded.sample_rate
    start = min(int(spec.config["start_s"] * rate), max(0, len(decoded.samples) - rate))
    samples = decoded.samples[start : start + int(spec.config["excerpt_s"] * rate)]
    return Source(track, samples, rate, sha256)


def _decode(home: Home, track: Mapping[str, Any]) -> tuple["Decoded", str]:
    """The decoded audio file of a track, and the SHA-256 of the file.

    The file is at the path in the dataset or where it moved to. Its metadata may have changed.
    """
    from melgraph.ml.audio import decode

    library = home.open_library()
    paths = [track["path"], *Catalogue(home.catalogue).locations(track["track_id"])]
    for path in dict.fromkeys(paths):
        try:
            with library.local(path) as source:
                sha256 = file_sha256(source)
                if identity_of(source, sha256).track_id == track["track_id"]:
                    return decode(source), sha256
        except OSError:
            continue
    raise ArtifactCorrupt(
        "the audio file is missing, or its sound is not that of the track in the dataset",
        where=library.where(track["path"]),
        remedy="restore the file, or materialize the dataset and its experiment again",
    )


def _write_flac(
    work: Work, name: str, source: Source, samples: np.ndarray, title: str, licences: str = ""
) -> None:
    """Write a 16-bit FLAC file with its title and provenance as file metadata, reproducibly."""
    import soundfile
    from mutagen.flac import FLAC

    path, track = work.folder / name, source.track
    soundfile.write(path, samples, source.sample_rate, subtype="PCM_16")
    file = FLAC(path)
    file["title"] = f"{track['title'] or Path(track['path']).stem} ({title})"
    if track["artist"]:
        file["artist"] = track["artist"]
    file["comment"] = "made by melgraph"
    file["melgraph_record"] = str(work.spec.reference)
    file["melgraph_track_id"] = track["track_id"]
    file["melgraph_source"] = track["path"]
    if licences:
        file["melgraph_weights_licence"] = licences
    file.save()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:40] or "track"
