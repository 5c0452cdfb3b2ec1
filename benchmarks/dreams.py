"""How strongly each setting of a deep dream changes a sound: on held-out tracks of a home.

    python benchmarks/dreams.py HOME [--experiment NAME] [--layer conv3] [--tracks 6] [--skip 0]

Prints one line per setting, with medians over the tracks. "Gain" is the activation after / before;
for the class objective, the increase of the logit. Reads the home and writes nothing into it.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.ml.audio import decode, resample, to_mono
from melgraph.ml.generation.deep_dream import dream, objective_value
from melgraph.ml.generation.resynthesis import apply_mel_delta, snr_db
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models.base import Classifier
from melgraph.ml.representations.registry import MEL, from_attributes
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.spectral import MelTransform, log_mel, stft
from melgraph.ml.weights import checkpoints
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import open_home
from melgraph.storage.tables import read_table

SECONDS = 10.0
SOURCE: dict = {"octaves": 6, "octave_scale": 1.4, "steps": 20}  # "Dreaming in Music"
SETTINGS: list[tuple[str, dict]] = [
    ("default", {}),
    ("6 octaves (source)", SOURCE),
    ("6 octaves, step 0.1 dB, limit 12 dB", {**SOURCE, "step_size_db": 0.1, "max_delta_db": 12.0}),
    ("1 octave", {"octaves": 1}),
    ("10 steps", {"steps": 10}),
    ("40 steps", {"steps": 40}),
    ("step 0.02 dB", {"step_size_db": 0.02}),
    ("step 0.05 dB", {"step_size_db": 0.05}),
    ("limit 3 dB", {"max_delta_db": 3.0}),
    ("limit 12 dB", {"max_delta_db": 12.0}),
    ("no blur", {"smoothing": 0.0}),
    ("`keep_level = false`", {"keep_level": False}),
    ("conv1", {"layer": "conv1"}),
    ("conv2", {"layer": "conv2"}),
    ("conv4", {"layer": "conv4"}),
    ("least probable class", {"objective": "class"}),
]


@dataclass(frozen=True)
class Excerpt:
    """The first seconds of a held-out track: samples `[sample, channel]`, log-mel in dB."""

    path: str
    label: str
    samples: np.ndarray
    rate: int
    mel: np.ndarray


@dataclass(frozen=True)
class Figures:
    """The figures of one dream of one excerpt."""

    gain: float  # activation after / before; of the objective `class`: logit after - before
    gain_in_sound: float  # the same, for the spectrogram of the new sound
    rms_db: float  # of the edit
    clipped: float  # share of the edit at the limit
    last_frames: float  # mean size of the edit in the last 5 % of the frames / in the middle half
    snr_db: float  # of the sound, to the original
    original_class: float  # change of the probability of the class predicted before
    seconds: float  # for the dream, per 10 s of sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--experiment", default="small-cnn")
    parser.add_argument("--layer", default="conv3")
    parser.add_argument("--tracks", type=int, default=6)
    parser.add_argument("--skip", type=int, default=0, help="number of tracks to leave out first")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = ArtifactStore(open_home(options.home))
    trained = store.need("trained_models", options.experiment)
    model, meta = checkpoints.load(trained.folder / "checkpoint")
    transform = from_attributes(MEL, meta["input"]["transform"])
    (snapshot,) = (r for r in trained.record.spec.inputs if r.asset == "datasets")
    table = read_table(store.get(snapshot).folder / "tracks.parquet")
    excerpts = held_out(table, Path(store.home.library), transform, options.skip, options.tracks)
    print("excerpts: " + ", ".join(excerpt.path for excerpt in excerpts) + "\n")
    print(
        "| setting | gain | gain in the sound | edit, dB RMS | at the limit | last frames | "
        "SNR, dB | original class | s per 10 s |"
    )
    print("|---" * 9 + "|")
    for name, overrides in SETTINGS:
        rows = [
            measure(model, meta, transform, excerpt, {"layer": options.layer, **overrides})
            for excerpt in excerpts
        ]
        print(line(name, rows), flush=True)


def line(name: str, rows: list[Figures]) -> str:
    def median(key: str) -> float:
        return float(np.median([getattr(row, key) for row in rows]))

    return (
        f"| {name} | {median('gain'):.2f} | {median('gain_in_sound'):.2f} | {median('rms_db'):.2f} "
        f"| {median('clipped'):.2%} | {median('last_frames'):.2f} | {median('snr_db'):+.1f} "
        f"| {median('original_class'):+.2f} "
        f"| {median('seconds'):.1f} |"
    )


def held_out(
    table: pl.DataFrame, library: Path, transform: MelTransform, skip: int, count: int
) -> list[Excerpt]:
    """Excerpts of test and validation tracks, of different labels, in order of track id."""
    tracks = table.filter(pl.col("split").is_in(["test", "validation"])).sort("track_id")
    chosen = tracks.unique("label", keep="first", maintain_order=True).slice(skip, count)
    excerpts = []
    for track in chosen.to_dicts():
        decoded = decode(library / track["path"])
        samples = decoded.samples[: int(SECONDS * decoded.sample_rate)]
        mel = spectrogram(samples, decoded.sample_rate, transform)
        excerpts.append(Excerpt(track["path"], track["label"], samples, decoded.sample_rate, mel))
    return excerpts


def spectrogram(samples: np.ndarray, rate: int, transform: MelTransform) -> np.ndarray:
    mono = resample(to_mono(samples), rate, transform.sample_rate)
    return log_mel(stft(mono, n_fft=transform.n_fft, hop=transform.hop), transform)


def measure(
    model: Classifier,
    meta: dict,
    transform: MelTransform,
    excerpt: Excerpt,
    overrides: dict,
) -> Figures:
    def probabilities(mel: np.ndarray) -> np.ndarray:
        return predict_tracks(model, [mel])[0]

    before = probabilities(excerpt.mel)
    predicted = int(before.argmax())
    settings = dict(overrides)
    layer = settings.pop("layer")
    if settings.get("objective") == "class":  # the least probable class
        settings["class_index"] = int(before.argmin())
    config = DreamConfig.model_validate(settings)
    started = time.perf_counter()
    edit = dream(model, excerpt.mel, layer=layer, config=config, seed=0)
    seconds = time.perf_counter() - started
    resynthesis = apply_mel_delta(
        excerpt.samples,
        sample_rate=excerpt.rate,
        delta_db=edit.delta_db,
        transform=transform,
        max_gain_db=config.max_delta_db,
    )
    sound = resynthesis.samples / np.float32(resynthesis.gain)
    after = spectrogram(sound, excerpt.rate, transform)
    in_sound = objective_value(model, after, layer=layer, config=config)
    is_class = config.objective == "class"
    return Figures(
        gain=edit.after - edit.before if is_class else edit.after / edit.before,
        gain_in_sound=in_sound - edit.before if is_class else in_sound / edit.before,
        rms_db=float(np.sqrt(np.mean(np.square(edit.delta_db)))),
        clipped=float(np.mean(np.abs(edit.delta_db) >= config.max_delta_db * 0.999)),
        last_frames=last_frames(edit.delta_db),
        snr_db=snr_db(excerpt.samples, sound),
        original_class=float(probabilities(after)[predicted] - before[predicted]),
        seconds=seconds * SECONDS * excerpt.rate / len(excerpt.samples),
    )


def last_frames(edit: np.ndarray) -> float:
    """Mean size of an edit in the last 5 % of its frames, divided by that of its middle half."""
    sizes = np.abs(edit).mean(axis=1)
    count = len(sizes)
    return float(sizes[-max(1, count // 20) :].mean() / sizes[count // 4 : -count // 4].mean())


if __name__ == "__main__":
    main()
