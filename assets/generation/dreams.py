"""`dreams`: what a trained network hears more of in a track, as sound."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.library import ingest
from melgraph.assets.library.live import library_files
from melgraph.assets.materialize import (
    Metadata,
    input_of,
    inputs_of,
    markdown_table,
    materialize,
    picture,
    plain_failures,
)
from melgraph.assets.models.trained_models import GPU_TAGS, TRAINED, checkpoint_of, write_json
from melgraph.assets.partitions import (
    SPECS,
    dataset_to_recipes,
    experiment_to_recipes,
    recipe_names,
)
from melgraph.assets.progress import progress_bar
from melgraph.assets.resources import HomeResource
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work, file_sha256
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.home import Home
from melgraph.storage.records import Recording, Spec
from melgraph.storage.tables import read_table

STAGE = 1
DREAMS = "dreams"
REPORT = "report.json"


def dream_spec(store: ArtifactStore, name: str) -> Spec:
    """The dreams of a recipe, by the current model of its experiment."""
    recipe = SPECS.recipes[name]
    model = store.need(TRAINED, recipe.experiment)
    snapshot = next(r for r in model.record.spec.inputs if r.asset == DATASETS)
    tracks = [r for r in store.get(snapshot).record.spec.inputs if r.asset == ingest.TRACKS]
    inputs = (model.reference, snapshot, *tracks)
    return Spec(DREAMS, name, STAGE, inputs, recipe.model_dump(), recipe.seed)


def write_dreams(store: ArtifactStore, work: Work) -> None:
    """Dream each chosen track: before and after as FLAC, the spectrograms, the reclassification."""
    model, meta = checkpoint_of(input_of(store, work.spec, TRAINED))
    chosen = _choose(store, work.spec)
    hashes = _source_hashes(store, work.spec)
    sounds = []
    with progress_bar(len(chosen), "tracks", "dreaming") as bar:
        for number, track in enumerate(chosen, start=1):
            name = f"{number:02d}-{_slug(Path(track['path']).stem)}"
            sound = _dream_one(store, work, model, meta, track, name, hashes)
            sounds.append(sound)
            files = tuple(sound["files"].values())
            sha256 = hashes[track["track_id"]]
            recording = Recording(track["track_id"], sha256, track["path"], files)
            work.recordings.append(recording)
            bar.update()
    work.facts.update(sounds=sounds, recipe=work.spec.config["title"])
    write_json(work.folder / REPORT, work.facts)


def _choose(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """Held-out tracks of different labels, in order of track id; or the one the recipe names."""
    table = read_table(input_of(store, spec, DATASETS).folder / TABLE)
    wanted = spec.config["path"]
    if wanted is not None:
        table = table.filter(pl.col("path") == wanted)
        if table.height == 0:
            raise UserError(
                f"no track of the dataset has the path {wanted!r}",
                where=f"recipe {spec.partition}: path",
                remedy="give a path relative to the library, as `tracks` lists it",
            )
        return table.to_dicts()
    held_out = table.filter(pl.col("split").is_in(["test", "validation"])).sort("track_id")
    first_of_each = held_out.unique("label", keep="first", maintain_order=True)
    rest = held_out.join(first_of_each, on="track_id", how="anti")
    return pl.concat([first_of_each, rest]).head(spec.config["tracks"]).to_dicts()


def _source_hashes(store: ArtifactStore, spec: Spec) -> dict[str, str]:
    """Track id -> SHA-256; a path may be another by now."""
    files = library_files(inputs_of(store, spec, ingest.TRACKS), {})
    return dict(files.drop_nulls("track_id").select("track_id", "sha256").iter_rows())


def _dream_one(
    store: ArtifactStore,
    work: Work,
    model: Any,
    meta: Mapping[str, Any],
    track: Mapping[str, Any],
    name: str,
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    from melgraph.ml import plots
    from melgraph.ml.audio import resample, to_mono
    from melgraph.ml.generation.deep_dream import dream
    from melgraph.ml.generation.resynthesis import apply_mel_delta, snr_db
    from melgraph.ml.specs.dream import DreamConfig
    from melgraph.ml.spectral import log_mel, stft

    config = work.spec.config
    transform = _mel_transform(meta)
    decoded = _decode(store.home, track, hashes[track["track_id"]])
    rate = decoded.sample_rate
    start = min(int(config["start_s"] * rate), max(0, len(decoded.samples) - rate))
    samples = decoded.samples[start : start + int(config["excerpt_s"] * rate)]

    def spectrogram(sound: np.ndarray) -> np.ndarray:
        mono = resample(to_mono(sound), rate, transform.sample_rate)
        return log_mel(stft(mono, n_fft=transform.n_fft, hop=transform.hop), transform)

    before = spectrogram(samples)
    dreamt = dream(
        model,
        before,
        layer=config["layer"],
        config=DreamConfig.model_validate(config["dream"]),
        seed=work.spec.seed or 0,
    )
    made = apply_mel_delta(
        samples,
        sample_rate=rate,
        delta_db=dreamt.delta_db,
        transform=transform,
        max_gain_db=config["dream"]["max_delta_db"],
    )
    after = spectrogram(made.samples)
    files = {
        "original": f"{name}.original.flac",
        "dream": f"{name}.dream.flac",
        "picture": f"{name}.png",
    }
    _write_flac(work, files["original"], samples, rate, track, "excerpt")
    _write_flac(work, files["dream"], made.samples, rate, track, "deep dream")
    titles = ("original", "what the network adds (dB)", "dreamt, computed from the new sound")
    picture_bytes = plots.spectrogram_triptych(
        before, dreamt.delta_db, after, transform, titles=titles
    )
    (work.folder / files["picture"]).write_bytes(picture_bytes)
    return {
        "track_id": track["track_id"],
        "path": track["path"],
        "label": track["label"],
        "files": files,
        "seconds": round(len(samples) / rate, 2),
        "heard_before": _classify(model, meta, before),
        "heard_after": _classify(model, meta, after),
        "activation_before": dreamt.before,
        "activation_after": dreamt.after,
        "identity_snr_db": _finite(made.identity_snr_db),
        "snr_to_original_db": _finite(snr_db(samples, made.samples / np.float32(made.gain))),
        "gain": float(made.gain),
    }


def _mel_transform(meta: Mapping[str, Any]) -> Any:
    from melgraph.ml.representations.registry import MEL, from_attributes

    given = meta["input"]["representation"]
    if given != MEL:
        raise UserError(
            f"the network was trained on {given}: a dream is an edit of {MEL}",
            where=f"experiment {meta['experiment']}",
            remedy=f"name an experiment whose input is {MEL} in the recipe",
        )
    return from_attributes(MEL, meta["input"]["transform"])


def _classify(model: Any, meta: Mapping[str, Any], mel: np.ndarray) -> dict[str, Any]:
    from melgraph.ml.inference.tracks import predict_tracks

    (scores,) = predict_tracks(model, [mel])
    best = int(scores.argmax())
    return {"label": meta["classes"][best], "probability": round(float(scores[best]), 4)}


def _finite(value: float) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None


def _decode(home: Home, track: Mapping[str, Any], expected: str) -> Any:
    """The recording, where the dataset says it is, or where it was seen since, if it moved."""
    from melgraph.ml.audio import decode

    library = home.open_library()
    places = [track["path"], *Catalogue(home.catalogue).locations(track["track_id"])]
    for place in dict.fromkeys(places):
        try:
            with library.local(place) as source:
                if file_sha256(source) == expected:
                    return decode(source)
        except OSError:
            continue
    raise ArtifactCorrupt(
        "the recording is gone, or is no longer the one in the dataset",
        where=library.where(track["path"]),
        remedy="restore the file, or materialize the dataset and its experiment again",
    )


def _write_flac(
    work: Work, name: str, samples: np.ndarray, rate: int, track: Mapping[str, Any], what: str
) -> None:
    """16-bit FLAC whose tags say what it is and where it came from. The same bytes every time."""
    import soundfile
    from mutagen.flac import FLAC

    path = work.folder / name
    soundfile.write(path, samples, rate, subtype="PCM_16")
    tagged = FLAC(path)
    tagged["title"] = f"{track['title'] or Path(track['path']).stem} ({what})"
    if track["artist"]:
        tagged["artist"] = track["artist"]
    tagged["comment"] = "made by melgraph"
    tagged["melgraph_record"] = str(work.spec.reference)
    tagged["melgraph_track_id"] = track["track_id"]
    tagged["melgraph_source"] = track["path"]
    tagged.save()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:40] or "track"


@asset(
    partitions_def=recipe_names,
    deps=[
        AssetDep(TRAINED, partition_mapping=experiment_to_recipes),
        AssetDep(DATASETS, partition_mapping=dataset_to_recipes),
        AssetDep(ingest.TRACKS, partition_mapping=AllPartitionMapping()),
    ],
    group_name="generation",
    code_version=str(STAGE),
    kinds={"pytorch"},
    pool="gpu",
    op_tags=GPU_TAGS,
)
def dreams(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Deep dreams of held-out tracks (Mordvintsev et al. 2015) against a trained network.

    The dreamt change of the log-mel spectrogram is applied as a delta to the full-resolution
    amplitude, with the original phase and the file's own rate and channels. FLAC before and after,
    with the record in the tags; spectrograms; what the same network hears before and after.
    """
    with plain_failures():
        store = home.store()
        spec = dream_spec(store, context.partition_key)
    return materialize(context, store, spec, write_dreams, _show)


def sound_rows(facts: Metadata) -> list[dict[str, object]]:
    """The sounds as rows for people."""
    return [
        {
            "track": sound["path"],
            "heard before": "{label} ({probability:.0%})".format(**sound["heard_before"]),
            "heard after": "{label} ({probability:.0%})".format(**sound["heard_after"]),
            "activation": f"x {sound['activation_after'] / sound['activation_before']:.2f}",
            "SNR to original (dB)": sound["snr_to_original_db"],
            "SNR of no edit (dB)": sound["identity_snr_db"],
        }
        for sound in facts["sounds"]
    ]


def _show(artifact: Artifact) -> Metadata:
    shown: Metadata = {"sounds": markdown_table(sound_rows(artifact.facts))}
    for sound in artifact.facts["sounds"]:
        shown[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return shown
