"""A small home with artifacts of every kind, in the files and facts that `assets/` writes."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import soundfile

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import write_dataset
from melgraph.assets.dataset.exploration.reports import (
    plan_exploration_report,
    write_exploration_report,
)
from melgraph.assets.embeddings.clusters.reports import plan_cluster_report, write_cluster_report
from melgraph.assets.embeddings.embeddings import TRACK_VECTORS
from melgraph.assets.library import ingest
from melgraph.assets.library.tracks import SCHEMA as TRACKS_SCHEMA
from melgraph.assets.library.tracks import TABLE as TRACKS_TABLE
from melgraph.assets.materialize import inputs_of
from melgraph.assets.models import evaluations
from melgraph.assets.models.trained_model import CURVES_PICTURE, TrainedModel
from melgraph.assets.pages.asset import plan_pages
from melgraph.assets.pages.site import write_pages
from melgraph.assets.recommendations.recommendations import TABLE as NEIGHBOURS
from melgraph.assets.stages import EVALUATIONS, TRACKS
from melgraph.ml import plots
from melgraph.ml.features.track_features import FeatureOptions, feature_names
from melgraph.ml.sample_library import MARKER
from melgraph.ml.specs import load_specs
from melgraph.ml.spectral import MelTransform, mel_frequencies
from melgraph.ml.weights.licences import licence_entry
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.home import Home
from melgraph.storage.records import Reference, Spec
from melgraph.storage.spectrogram_store import SpectrogramWriter
from melgraph.storage.tables import read_table, write_table
from tests.assets.pages.small_sounds import RATE, write_sound
from tests.recordings import recordings

EVIL = "<script>alert(1)</script>"
# Names that a careless link breaks: URL syntax, an escape that is none, markup, other scripts.
ODD_PATHS = (
    "bossa #1/100%25 & co?.flac",
    "bossa #1/Ünïcodé – 日本語.flac",
    'rock/it\'s "<b>".flac',
)
TITLES = ("Slow Light", "Harbour", "Paper Moon", "Second Street", "Glass", "Northbound", "Ember")
ARTISTS = ("The Quiet Hours", "Mira Vale", "Old Tin Roof", "Kestrel", "Ana Lund", "Five Rivers")


class SmallHome:
    """Builds the home step by step; each step is an artifact kind."""

    def __init__(
        self,
        root: Path,
        *,
        tracks: int = 24,
        classes: int = 3,
        sample: bool = True,
        bucket: str | None = None,
        others: tuple[str, ...] = (),
    ):
        self.library = root / "library of songs"
        self.library.mkdir(parents=True)
        if sample:
            (self.library / MARKER).write_text("{}")
        self.home = Home((root / "home").resolve(), str(self.library.resolve()))
        if bucket is not None:  # its user puts the library there
            self.home = Home(self.home.root, f"{bucket}/songs", artifact_store=f"{bucket}/made")
        self.home.create()
        self.store = ArtifactStore(self.home)
        names = ("bossa #1", "rock", "ambient", "techno", "folk", "reggae", "jazz", "metal")
        self.classes = names[:classes]
        self.paths = list(ODD_PATHS) + [
            f"{self.classes[i % classes]}/{ARTISTS[i % 6]} - {TITLES[i % 7]} {i:03d}.flac"
            for i in range(len(ODD_PATHS), tracks)
        ]
        self.paths += others  # in folders of their own: classes too small for the dataset

    def produce(self, asset, partition, inputs, write, config=None, stage=1) -> Artifact:
        spec = Spec(asset, partition, stage, tuple(inputs), config or {})
        return self.store.produce(spec, write)[0]

    def references(self, asset: str) -> list[Reference]:
        return [self.store.need(asset, p).reference for p in self.store.partitions(asset)]

    def add_tracks(self) -> "SmallHome":
        rows = [self._row(number, path) for number, path in enumerate(self.paths)]
        copy = "rock/the same again.flac"
        (self.library / copy).write_bytes((self.library / self.paths[3]).read_bytes())
        rows.append(rows[3] | {"path": copy, "duplicate_of": self.paths[3]})
        (self.library / "rock/broken.mp3").write_bytes(b"no audio")
        bad = dict.fromkeys(TRACKS_SCHEMA)
        bad.update(path="rock/broken.mp3", bytes=8, sha256="00" * 32, track_id="00" * 16)
        bad.update(status="quarantined", code="undecodable", reason="no known format <i>")
        rows.append(bad)
        half = len(rows) // 2
        for batch, part in (("batch-000001", rows[:half]), ("batch-000002", rows[half:])):

            def write(work, part=part):
                write_table(
                    pl.DataFrame(part, schema=TRACKS_SCHEMA),
                    work.folder / TRACKS_TABLE,
                )

            self.produce("tracks", batch, (), write)
            self._register(batch, part)
        return self

    def _register(self, batch: str, rows: list[dict]) -> None:
        """As a scan does, and the ingest after it."""
        catalogue = Catalogue(self.home.catalogue)
        status = {row["path"]: (self.library / row["path"]).stat() for row in rows}
        files = [LibraryFile(path, s.st_size, s.st_mtime_ns) for path, s in status.items()]
        assert catalogue.register_batch(files) == batch
        catalogue.identify(batch, recordings({row["path"]: row["track_id"] for row in rows}))

    def _row(self, number: int, path: str) -> dict:
        file = self.library / path
        file.parent.mkdir(parents=True, exist_ok=True)
        seconds = np.arange(2 * RATE) / RATE
        tone = 0.2 * np.sin(2 * np.pi * (220 + 7 * number) * seconds)
        soundfile.write(file, tone, RATE, subtype="PCM_16")
        data = file.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        row = dict.fromkeys(TRACKS_SCHEMA)
        row.update(path=path, bytes=len(data), sha256=sha256, track_id=sha256[:32], status="ok")
        row.update(duration_s=2.0 + 31 * (number % 9), sample_rate_hz=RATE, channels=1)
        row.update(codec="flac", peak_dbfs=-14.0, rms_dbfs=-17.0, genre=path.split("/")[0])
        title = {0: EVIL, 1: None}.get(number, f"{TITLES[number % 7]} {number}")
        artist = f"{ARTISTS[number % 6]} {number // 6}"
        row.update(artist=artist, artists=[artist], genres=[row["genre"]], title=title)
        row.update(year=1980 + number if number % 2 else None)
        return row

    def add_dataset(self, *, labels: str = "folder") -> "SmallHome":
        config = load_specs().datasets["genres"].model_dump()
        config |= {"missing": [], "label_level": 1, "labels": labels, "min_tracks_per_class": 2}
        inputs = self.references("tracks")
        self.produce(
            "datasets", "genres", inputs, lambda work: write_dataset(self.store, work), config
        )
        return self

    @property
    def snapshot(self) -> pl.DataFrame:
        return read_table(self.store.need("datasets", "genres").folder / "tracks.parquet")

    def add_representations(self) -> "SmallHome":
        """Noise for spectrograms and features, another of each class; made of the track's id."""
        transform = MelTransform()
        config = {"transform": transform.attributes(), "codec": "none"}
        for tracks in self.references("tracks"):
            table = read_table(self.store.get(tracks).folder / TRACKS_TABLE)
            good = table.filter(pl.col("status") == "ok", pl.col("duplicate_of").is_null())
            rows = [
                (i, np.random.default_rng(int(i[:8], 16)), len(path.split("/")[0]))
                for i, path in good.select("track_id", "path").iter_rows()
            ]

            def write_mel(work, rows=rows):
                writer = SpectrogramWriter(
                    work.folder / ingest.STORE,
                    frequency=mel_frequencies(transform),
                    attributes=transform.attributes(),
                )
                for track_id, rng, kind in rows:
                    noise = rng.normal(-40 + kind, 8, (120, transform.n_mels))
                    writer.append(track_id, noise.astype(np.float16))
                writer.close()

            def write_features(work, rows=rows):
                names = feature_names()
                values = [dict(zip(names, rng.normal(kind, 1, len(names)), strict=True))
                          for _, rng, kind in rows]  # fmt: skip
                found = [{"track_id": row[0], **v} for row, v in zip(rows, values, strict=True)]
                schema = {"track_id": pl.String, **dict.fromkeys(names, pl.Float64)}
                table = pl.DataFrame(found, schema=schema)
                write_table(table, work.folder / ingest.FEATURES_TABLE)

            self.produce("mel_spectrograms", tracks.partition, (tracks,), write_mel, config)
            made_with = {"options": asdict(FeatureOptions())}
            self.produce("audio_features", tracks.partition, (tracks,), write_features, made_with)
        return self

    def add_exploration(self) -> "SmallHome":
        if not self.store.partitions("mel_spectrograms"):
            self.add_representations()
        spec = plan_exploration_report(Context.open(self.home), "genres")
        spec = replace(spec, config={**spec.config, "excerpt_s": 0.5})
        self.store.produce(spec, lambda work: write_exploration_report(self.store, work))
        return self

    def add_model(self) -> "SmallHome":
        if not self.store.partitions("mel_spectrograms"):
            self.add_representations()
        classes = self.store.need("datasets", "genres").facts["classes"]

        def train(work):
            curves = [
                {"epoch": e, "train_loss": 2 / e, "validation_loss": 2.2 / e,
                 "validation_accuracy": 0.9 - 0.7 / e, "is_best": True}
                for e in range(1, 21)
            ]  # fmt: skip
            (work.folder / CURVES_PICTURE).write_bytes(plots.training_curves(curves))
            work.facts.update(classes=classes, n_train=60, n_validation=12, parameters=93704)
            work.facts.update(best_epoch=18, epochs=20, validation_accuracy=0.86)
            work.facts["explanation"] = [
                {"name": name, "dimensions": [["musicnn: mean of embedding 7", 0.5]],
                 "tags": [[f"musicnn: tag of {name}", 0.75]], "shares": {"musicnn": 1.0}}
                for name in classes
            ]  # fmt: skip
            work.licences.append(licence_entry("a-tagger", "0" * 64, {"weights": "CC BY-NC 4.0"}))
            work.run["mlflow"] = "5f" * 16

        model = self.produce("trained_models", "small-cnn", self.references("datasets"), train)

        def judge(work):
            table = self.snapshot.filter(pl.col("split") == "test")
            rng = np.random.default_rng(1)
            truth = np.array([classes.index(label) for label in table["label"]])
            scores = rng.random((len(truth), len(classes))) + np.eye(len(classes))[truth] * 0.7
            scores /= scores.sum(axis=1, keepdims=True)
            inputs = mock.Mock()
            inputs.track_set.side_effect = lambda rows, labels: mock.Mock(labels=labels)
            # The real one, with no network behind it: the files and facts are its own.
            with (
                mock.patch.object(TrainedModel, "load") as load,
                mock.patch.object(evaluations, "open_inputs", return_value=inputs),
                mock.patch("melgraph.ml.inference.tracks.predict_tracks", return_value=scores),
            ):
                load.return_value = None, {"classes": classes, "aggregate": "mean"}
                evaluations.write_evaluation(self.store, work)
            kept = {name: work.facts[name] for name in evaluations.IN_FACTS}
            work.facts["cross_validation"] = {"folds": 5, **kept}

        inputs = (
            model.reference,
            *self.references("datasets"),
            *self.references("mel_spectrograms"),
        )
        config = {"part": "test", "folds": 0}
        stage = EVALUATIONS.number  # older ones are not shown
        self.produce("evaluations", "small-cnn", inputs, judge, config, stage)
        return self

    def add_embeddings(self, *encoders: str) -> "SmallHome":
        """Vectors of 8 numbers, around one centre for each folder; of a model where there is one.

        The network has heard none of them; the vectors of folders outside the classes lie apart.
        """
        if not self.store.partitions("mel_spectrograms"):
            self.add_representations()
        for number, encoder in enumerate(encoders):
            model = [r for r in self.references("trained_models") if r.partition == encoder]
            frozen = self.produce(
                "encoders", encoder, [*model, *self.references("datasets")], lambda work: None
            )
            for mel in self.references("mel_spectrograms"):

                def write(work, mel=mel, number=number):
                    (tracks,) = inputs_of(self.store, self.store.get(mel).record.spec, TRACKS)
                    known = read_table(tracks.folder / TRACKS_TABLE)
                    good = known.filter(pl.col("status") == "ok", pl.col("duplicate_of").is_null())
                    vectors = np.zeros((good.height, 8), np.float32)
                    for row, (i, path) in enumerate(good.select("track_id", "path").iter_rows()):
                        folder = path.split("/")[0]
                        rng = np.random.default_rng(int(i[:8], 16) + number)
                        far = folder not in self.classes
                        kind = self.classes.index(folder) if not far else 7
                        vectors[row] = 4 * np.eye(8)[kind] + rng.normal(size=8)
                    table = pl.DataFrame(
                        {"track_id": good["track_id"],
                         "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, 8))}
                    )  # fmt: skip
                    write_table(table, work.folder / TRACK_VECTORS)

                partition = f"{encoder}+{mel.partition}"
                self.produce("embeddings", partition, (frozen.reference, mel), write)
        return self

    def add_maps(self, *encoders: str, **config: int) -> "SmallHome":
        """The real reports, with fewer resamples."""
        self.add_embeddings(*encoders)
        for encoder in encoders:
            spec = plan_cluster_report(Context.open(self.home), encoder)
            few = {**spec.config, "bootstrap": 40, "shuffles": 10, **config}
            self.store.produce(
                replace(spec, config=few), lambda work: write_cluster_report(self.store, work)
            )
        return self

    def add_recommendations(self, *encoders: str) -> "SmallHome":
        for number, encoder in enumerate(encoders):

            def write(work, number=number):
                known = self.snapshot.sort("path")
                rng = np.random.default_rng(number)
                tracks = known.rows(named=True)
                rows = []
                for at, track in enumerate(tracks):
                    others = rng.permutation([i for i in range(len(tracks)) if i != at])[:10]
                    for rank, other in enumerate(others, start=1):
                        near = tracks[other]
                        rows.append(
                            {
                                "track_id": track["track_id"],
                                "rank": rank,
                                "recommended_id": near["track_id"],
                                "similarity": 1 - rank * 0.02,
                                "track": track["path"],
                                "recommended_path": near["path"],
                                "recommended_artist": near["artist"],
                                "recommended_title": near["title"],
                            }
                        )
                write_table(pl.DataFrame(rows), work.folder / NEIGHBOURS)
                work.facts.update(tracks=len(tracks), recommendations=len(rows))
                share = 0.5 + 0.1 * number  # the last encoder is the best
                work.facts.update(same_label=share, same_label_by_chance=0.14)
                work.facts.update(same_label_low=share - 0.1, same_label_high=share + 0.1)
                work.facts.update(held_out_tracks=20, held_out_groups=9)

            self.produce("recommendations", encoder, self.references("tracks"), write)
        return self

    def add_dreams(self) -> "SmallHome":
        def write(work):
            rows = sorted(self.snapshot.rows(named=True), key=lambda row: row["title"] != EVIL)
            sounds = [write_sound(work, n, track) for n, track in enumerate(rows[:3], start=1)]
            work.facts.update(sounds=sounds, recipe="Deep dream of three held-out tracks")
            (work.folder / "report.json").write_text(json.dumps(sounds))

        self.produce("dreams", "deep-dream", self.references("datasets"), write)
        return self

    def add_requested_sound(self, digest="0123456789ab", path=f".../{EVIL}.mp3") -> "SmallHome":
        """A sound of a recording outside of the library, towards a guide, post-processed."""

        def write(work):
            outside = {"track_id": "ee" * 16, "path": path, "label": None}
            sound = write_sound(work, 1, outside, guide=self.snapshot.rows(named=True)[0])
            work.facts.update(sounds=[sound], recipe="Towards another song")
            (work.folder / "report.json").write_text("[]")

        config = {"method": "deep_dream"}
        self.produce("requested_sounds", f"guided.{digest}", [], write, config)
        return self

    def everything(self) -> "SmallHome":
        encoders = ("mel-statistics", "small-cnn")
        self.add_tracks().add_dataset().add_exploration().add_model()
        self.add_maps(*encoders).add_recommendations(*encoders)
        return self.add_dreams().add_requested_sound()

    def add_pages(self) -> Artifact:
        spec = plan_pages(Context.open(self.home))
        return self.store.produce(spec, lambda work: write_pages(self.store, work))[0]
