"""Style transfers at five values of alpha / beta: content kept against style moved.

    python benchmarks/style_sweep.py HOME [--songs FOLDER] [--pairs 3] [--seconds 5] [--steps 40]

For each network, excerpts of songs get the style of a song of the next label, at five values of
alpha / beta. The songs are held-out ones of the home's dataset, or the files below FOLDER, whose
subfolders are the labels. The distances are measured on the new sound: that from the content is
0 % for the source and 100 % for the guide, that from the style 0 % for the guide and 100 % for the
source. Prints medians over the pairs, with the range, and writes a chart, and a spectrogram of the
first pair for each network. Weights of VGG-16 and mn04 are those in MELGRAPH_WEIGHTS. Reads the
home and writes nothing into it.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.ml import plots
from melgraph.ml.audio import decode
from melgraph.ml.errors import UserError
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.generation.style.features import (
    FeatureNetwork,
    experiment_features,
    random_features,
    tagger_features,
    vgg_features,
)
from melgraph.ml.generation.style.phase import renew_phase
from melgraph.ml.generation.style_transfer import StyleComparison, transfer_style
from melgraph.ml.generation.views import view_of
from melgraph.ml.inference.tagging import load_tagger
from melgraph.ml.plots.trade import Curve, trade_chart
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig
from melgraph.ml.weights import checkpoints
from melgraph.ml.weights.feature_weights import load_vgg, locate_vgg
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import open_home
from melgraph.storage.tables import read_table

ALPHA_BETA = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
PICTURED = 0.1  # alpha / beta of the spectrograms
TAGGER = "mn04-audioset"


@dataclass(frozen=True)
class Song:
    """An excerpt: samples `[sample, channel]` at its own rate."""

    path: str
    samples: np.ndarray
    rate: int


@dataclass(frozen=True)
class Figures:
    """The figures of one style transfer, measured on the new sound."""

    content: float
    style: float
    style_of_picture: float
    edit_db: float  # RMS
    snr_db: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--experiment", default="sources-resnet18-amplitude")
    parser.add_argument("--dataset", default="genres")
    parser.add_argument("--songs", type=Path, help="a folder of one folder per label instead")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--optimiser", choices=("lbfgs", "adam"), default="lbfgs")
    parser.add_argument("--new-phase", action="store_true", help="of the random filters only")
    parser.add_argument("--only", nargs="*", help="networks, by the beginning of their names")
    parser.add_argument("--chart", type=Path, help="PNG file to write")
    parser.add_argument("--pictures", type=Path, help="folder for spectrograms of the first pair")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = ArtifactStore(open_home(options.home))
    paths = (
        paths_of_folder(options.songs) if options.songs else held_out_paths(store, options.dataset)
    )
    pairs = list(song_pairs(paths, options.pairs, options.seconds))
    for source, guide in pairs:
        print(f"{source.path} with the style of {guide.path}")
    budget = f"{options.seconds:g} s, {options.steps} gradients each, one thread"
    print(f"\n{len(pairs)} pairs of {budget}")
    print(
        "\n| network | alpha / beta | distance from the content | distance from the style | style "
        "in the picture | edit, dB RMS | SNR, dB | s per sound |"
    )
    print("|---" * 8 + "|")
    curves: list[Curve] = []
    for name, network in networks(store, options.experiment):
        if options.only and not name.lower().startswith(tuple(options.only)):
            continue
        points = []
        if options.pictures:
            draw(network, *pairs[0], options)
        for alpha_beta in ALPHA_BETA:
            config = StyleTransferConfig(
                alpha_beta=alpha_beta, steps=options.steps, optimiser=options.optimiser
            )
            renews = options.new_phase and name.startswith("random")
            rows = [measure(network, source, guide, config, renews) for source, guide in pairs]
            print(line(name, f"{alpha_beta:g}", rows), flush=True)
            points.append((median(rows, "content"), median(rows, "style")))
            curve = Curve(name, tuple(points), tuple(f"{value:g}" for value in ALPHA_BETA))
            if options.chart:  # after each row, so that a run that is stopped has a chart, too
                options.chart.write_bytes(chart_of([*curves, curve], len(pairs)))
        curves.append(curve)


def chart_of(curves: list[Curve], pairs: int) -> bytes:
    return trade_chart(
        curves,
        xlabel="distance from the content (0: the source, 1: the guide)",
        ylabel="distance from the style (0: the guide, 1: the source)",
        title=f"Style transfer: medians of {pairs} pairs, by alpha / beta",
    )


def held_out_paths(store: ArtifactStore, dataset: str) -> dict[str, list[Path]]:
    """The held-out songs of a dataset, by label."""
    table = read_table(store.need("datasets", dataset).folder / "tracks.parquet").to_dicts()
    library = Path(store.home.library)
    paths: dict[str, list[Path]] = {}
    for row in sorted(table, key=lambda row: row["track_id"]):
        if row["split"] in ("test", "validation") and row["label"]:
            paths.setdefault(row["label"], []).append(library / row["path"])
    return paths


def paths_of_folder(folder: Path) -> dict[str, list[Path]]:
    """The files in the subfolders of a folder, which are the labels."""
    return {
        part.name: sorted(path for path in part.iterdir() if path.is_file())
        for part in sorted(folder.iterdir())
        if part.is_dir()
    }


def song_pairs(
    paths: dict[str, list[Path]], count: int, seconds: float
) -> Iterator[tuple[Song, Song]]:
    """Songs of labels that are evenly spread, each with a song of the next of these labels."""
    labels = sorted(paths)
    spread = [labels[number * len(labels) // count] for number in range(min(count, len(labels)))]
    for number in range(count):
        label, next_label = (spread[(number + i) % len(spread)] for i in (0, 1))
        turn = number // len(spread)
        source = paths[label][turn % len(paths[label])]
        guide = paths[next_label][turn % len(paths[next_label])]
        yield excerpt(source, seconds), excerpt(guide, seconds)


def excerpt(path: Path, seconds: float) -> Song:
    decoded = decode(path)
    name = f"{path.parent.name}/{path.name}"
    return Song(name, decoded.samples[: int(seconds * decoded.sample_rate)], decoded.sample_rate)


def networks(store: ArtifactStore, experiment: str) -> Iterator[tuple[str, FeatureNetwork]]:
    """The networks of the four shipped recipes; one that is not here is named and left out."""
    folder = Path(os.environ.get("MELGRAPH_WEIGHTS", store.home.root / "weights"))
    try:
        path, known = locate_vgg("vgg16", folder)
        yield "VGG-16", vgg_features(load_vgg("vgg16", path, known), image=256)
    except UserError as missing:
        print(f"| VGG-16 | {missing.what} | | | | | | |")
    if store.current("trained_models", experiment) is not None:
        trained = store.need("trained_models", experiment)
        model, meta = checkpoints.load(trained.folder / "checkpoint")
        view = view_of(meta["input"], where=experiment)
        yield f"ResNet-18 ({experiment})", experiment_features(model, view, name=experiment)
    else:
        print(f"| {experiment} | not trained in this home | | | | | | |")
    try:
        tagger, _ = load_tagger(load_specs().taggers[TAGGER], folder)
        yield "mn04", tagger_features(tagger, name=TAGGER)
    except UserError as missing:
        print(f"| mn04 | {missing.what} | | | | | | |")
    yield "random 1-D, 1024 filters", random_features(filters=1024, width=11, seed=0)


def measure(
    network: FeatureNetwork, source: Song, guide: Song, config: StyleTransferConfig, renews: bool
) -> Figures:
    view = network.view
    pictures = [view.picture(song.samples, song.rate) for song in (source, guide)]
    started = time.perf_counter()
    comparison = StyleComparison(network, *pictures, config)
    transfer = transfer_style(comparison, seed=0)
    edited = view.apply(source.samples, source.rate, transfer.delta_db, limit_db=transfer.limit_db)
    sound = edited.samples / np.float32(edited.gain)
    if renews:
        sound = renew_phase(sound, source.rate)
    seconds = time.perf_counter() - started
    in_sound = comparison.ratios(view.picture(sound, source.rate))
    return Figures(
        in_sound.content,
        in_sound.style,
        transfer.ratios.style,
        float(np.sqrt(np.mean(np.square(transfer.delta_db)))),
        snr_db(source.samples, sound),
        seconds,
    )


def draw(network: FeatureNetwork, source: Song, guide: Song, options: argparse.Namespace) -> None:
    """Spectrograms of the first pair in a file: source, edit and new sound, at PICTURED."""
    view = network.view
    before, of_guide = (view.picture(song.samples, song.rate) for song in (source, guide))
    config = StyleTransferConfig(alpha_beta=PICTURED, steps=options.steps)
    transfer = transfer_style(StyleComparison(network, before, of_guide, config), seed=0)
    edited = view.apply(source.samples, source.rate, transfer.delta_db, limit_db=transfer.limit_db)
    after = view.picture(edited.samples / np.float32(edited.gain), source.rate)
    titles = ("source", f"edit, alpha / beta = {PICTURED:g}", "new sound")
    chart = plots.spectrogram_triptych(before, transfer.delta_db, after, view, titles=titles)
    options.pictures.mkdir(parents=True, exist_ok=True)
    name = network.name.split()[0].replace("_", "-")
    (options.pictures / f"style-{name}.png").write_bytes(chart)


def median(rows: list[Figures], key: str) -> float:
    return float(np.median([getattr(row, key) for row in rows]))


def line(name: str, alpha_beta: str, rows: list[Figures]) -> str:
    def with_range(key: str) -> str:
        values = [getattr(row, key) for row in rows]
        return f"{np.median(values):.0%} ({min(values):.0%} to {max(values):.0%})"

    return (
        f"| {name} | {alpha_beta} | {with_range('content')} | {with_range('style')} | "
        f"{median(rows, 'style_of_picture'):.0%} | {median(rows, 'edit_db'):.1f} | "
        f"{median(rows, 'snr_db'):+.1f} | {median(rows, 'seconds'):.0f} |"
    )


if __name__ == "__main__":
    main()
