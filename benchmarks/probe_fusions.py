"""Probes of single taggers and of fusions, by nested cross-validation on recordings.

    python benchmarks/probe_fusions.py DATA CACHE

DATA is the folder that MELGRAPH_REAL_DATA names, with `library/emotify`, `library/gtzan`,
`metadata/emotify/tracks.csv` and `weights`. CACHE receives the outputs of every tagger for every
segment, which are computed once.

Every track is predicted by a probe that was fitted without its group: its artist (Emotify), or its
recording (GTZAN). Inside each training part, five grouped folds choose C. Three seeds repeat the
folds. The 95 % confidence interval is over groups; `ml.evaluation.paired` compares each variant
with the probe of Musicnn alone, with Holm's correction over all of them. All variants are printed,
the worse ones too: the best of so many is too optimistic by some points.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

SEEDS, FOLDS = (0, 1, 2), 5
TAGGERS = {"musicnn": "musicnn-jamendo", "mn04": "mn04-audioset", "fcn": "fcn-jamendo",
           "crnn": "crnn-jamendo"}  # fmt: skip
LAYERS = {"mn04": ("block11", "block13", "block15")}
BOTH, ALL = ["musicnn", "mn04"], ["musicnn", "mn04", "fcn", "crnn"]
TAGS = ["musicnn:tags", "mn04:tags"]
BLOCKS = [f"mn04:{layer}" for layer in LAYERS["mn04"]]
MEAN, SPREAD = ("mean",), ("mean", "deviation")
VARIANTS = {  # name: (sources, statistics over segments, fusion)
    "Musicnn": (["musicnn"], MEAN, "joint"),
    "mn04": (["mn04"], MEAN, "joint"),
    "Musicnn, deviation too": (["musicnn"], SPREAD, "joint"),
    "Musicnn + mn04, joint": (BOTH, MEAN, "joint"),
    "Musicnn + mn04, separate": (BOTH, MEAN, "separate"),
    "Musicnn + mn04, joint, deviation too": (BOTH, SPREAD, "joint"),
    "Musicnn + mn04, separate, deviation too": (BOTH, SPREAD, "separate"),
    "all four taggers, joint": (ALL, MEAN, "joint"),
    "all four taggers, separate": (ALL, MEAN, "separate"),
    "Musicnn + mn04 + their tags, joint": (BOTH + TAGS, MEAN, "joint"),
    "Musicnn + mn04 + their tags, separate": (BOTH + TAGS, MEAN, "separate"),
    "Musicnn + mn04 + three layers of mn04, separate": (BOTH + BLOCKS, MEAN, "separate"),
    "Musicnn + mn04 + features, separate": ([*BOTH, "features", "mel"], MEAN, "separate"),
}
CONTROL = "Musicnn"


def main() -> None:
    data, cache = Path(sys.argv[1]), Path(sys.argv[2])
    cache.mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(1)
    print(f"{len(VARIANTS)} variants, {FOLDS} outer folds, {len(SEEDS)} seeds")
    for collection in ("emotify", "gtzan"):
        files = sorted(path for path in (data / "library" / collection).rglob("*")
                       if path.suffix in (".mp3", ".wav", ".flac"))  # fmt: skip
        outputs = outputs_of(data, files, cache / f"{collection}.npz", collection)
        names = [path.relative_to(data / "library" / collection).as_posix() for path in files]
        labels = np.unique([name.split("/")[0] for name in names], return_inverse=True)[1]
        groups = np.unique(groups_of(data, collection, names), return_inverse=True)[1]
        show(collection, names, outputs, labels, groups)


def outputs_of(data, files, cache, collection):
    """`file|source` -> float32 `[segment, dimension]`, from the cache or computed now."""
    if cache.is_file():
        return np.load(cache)
    from melgraph.ml.features.mel_statistics import mel_statistics
    from melgraph.ml.inference.tagging import load_tagger
    from melgraph.ml.inference.tracks import embed_tracks
    from melgraph.ml.inference.vectors import tag_logits
    from melgraph.ml.representations.analysis import analyse
    from melgraph.ml.representations.registry import TRANSFORMS
    from melgraph.ml.specs import load_specs

    specs = load_specs().taggers
    taggers = {name: load_tagger(specs[spec], data / "weights") for name, spec in TAGGERS.items()}
    names = ("waveforms", "waveforms_32k", "mel_spectrograms", "audio_features")
    outputs = {}
    for path in tqdm(files, unit=" tracks", desc=collection):
        key = path.relative_to(data / "library" / collection).as_posix()
        analysis = analyse(path, {name: TRANSFORMS[name]() for name in names})
        assert analysis.features is not None
        mel = analysis.arrays["mel_spectrograms"]["values"]
        outputs[f"{key}|features"] = np.array([list(analysis.features.values())], np.float32)
        outputs[f"{key}|mel"] = mel_statistics(mel)[None]
        for name, (model, meta) in taggers.items():
            waveform = analysis.arrays[meta["input"]["representation"]]["values"]
            embedding = embed_tracks(model, [waveform]).segment_vectors
            outputs[f"{key}|{name}"] = embedding
            outputs[f"{key}|{name}:tags"] = tag_logits(model, embedding, "cpu")
            for layer in LAYERS.get(name, ()):
                embedded = embed_tracks(model, [waveform], layer=layer)
                outputs[f"{key}|{name}:{layer}"] = embedded.segment_vectors
    np.savez(cache, **outputs)
    return outputs


def groups_of(data, collection, names):
    """The artist of each track of Emotify; the recording of each file of GTZAN."""
    if collection == "gtzan":
        return [".".join(Path(name).name.split(".")[:2]) for name in names]
    table = data / "metadata" / "emotify" / "tracks.csv"
    with table.open(encoding="utf-8") as file:
        artists = {row["path"].removeprefix("emotify/"): row["artist"]
                   for row in csv.DictReader(file)}  # fmt: skip
    return [artists[name] for name in names]


def predict(names, outputs, labels, groups, variant, seed):
    """Probabilities float `[track, class]`, each by a probe fitted without the track's group."""
    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.inference.vectors import STATISTICS
    from melgraph.ml.models import InputShape, build
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.cross_validation import cross_validate
    from melgraph.ml.training.setup import TrainingSetup

    sources, statistics, fusion = variant
    whole = ("features", "mel")  # of the whole track: one row
    parts = [
        np.stack([
            np.concatenate([STATISTICS[s](outputs[f"{name}|{source}"].astype(np.float64), axis=0)
                            for s in (MEAN if source in whole else statistics)])
            for name in names
        ])
        for source in sources
    ]  # fmt: skip
    vectors = np.concatenate(parts, axis=1).astype(np.float32)
    tracks = TrackSet(
        [row[None] for row in vectors], labels, 1e-6, groups, tuple(p.shape[1] for p in parts)
    )
    shape = InputShape(1, vectors.shape[1], 1)
    return cross_validate(
        TrainingSetup(tracks, TrainingConfig(), seed=seed),
        groups,
        build=lambda: build("probe", shape, n_classes=int(labels.max()) + 1, fusion=fusion),
        n_folds=FOLDS,
    )


def show(collection, names, outputs, labels, groups):
    """Print the accuracy of every variant, and its paired difference from the control."""
    from melgraph.ml.evaluation.paired import compare, estimate, holm

    right, losses = {}, {}
    for name, variant in VARIANTS.items():
        repeats = [predict(names, outputs, labels, groups, variant, seed) for seed in SEEDS]
        right[name] = np.array([p.argmax(axis=1) == labels for p in repeats], np.float64)
        truth = [p[np.arange(len(labels)), labels].astype(np.float64) for p in repeats]
        losses[name] = float(-np.log(np.maximum(truth, 1e-12)).mean())
    compared = {name: compare(right[name], right[CONTROL], groups)
                for name in VARIANTS if name != CONTROL}  # fmt: skip
    adjusted = dict(zip(compared, holm([c.p_value for c in compared.values()]), strict=True))
    print(f"\n### {collection}: {len(labels)} tracks, {len(np.unique(groups))} groups\n")
    print("| probe of | accuracy (95 %) | log loss | minus Musicnn alone (95 %) | p | p (Holm) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in VARIANTS:
        e, c = estimate(right[name], groups), compared.get(name)
        difference = "| | |" if c is None else (
            f"{100 * c.difference:+.1f} ({100 * c.low:+.1f} to {100 * c.high:+.1f}) points | "
            f"{c.p_value:.3f} | {adjusted[name]:.3f} |"
        )  # fmt: skip
        accuracy = f"{e.accuracy:.1%} ({e.low:.1%} to {e.high:.1%})"
        print(f"| {name} | {accuracy} | {losses[name]:.3f} | {difference}", flush=True)


if __name__ == "__main__":
    main()
