"""The report on generated sounds of a home, as Markdown.

    python benchmarks/generation_report.py HOME
    python benchmarks/generation_report.py HOME --song PATH --picture FILE.png
    python benchmarks/generation_report.py HOME --curves FILE.png MODEL MODEL ...

Make it first: `melgraph run`, or the job `judging`. Every figure is that of the asset
`generation_report`; this program computes none. With `--song`, it draws a song and all sounds that
were generated from it, as log-mel spectrograms on one colour scale. With `--curves`, it draws the
losses of generative models side by side.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.assets.generation.models.generative_evaluations import GenerativeEvaluation
from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.report.reports import GenerationReport
from melgraph.assets.generation.report.tables import (
    absent_judges,
    judge_rows,
    octave_rows,
    overview_rows,
    set_rows,
    size_sentence,
    table_rows,
)
from melgraph.assets.generation.sounds import Sounds
from melgraph.ml import plots
from melgraph.ml.audio import decode, resample, to_mono
from melgraph.ml.spectral import MelTransform, log_mel, stft
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import open_home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home with a generation report")
    parser.add_argument("--song", help="path of a song in the library, to draw its sounds")
    parser.add_argument("--picture", type=Path, help="the PNG file to write")
    parser.add_argument(
        "--curves", nargs="+", metavar=("FILE", "MODEL"), help="the PNG file, and generative models"
    )
    options = parser.parse_args()
    if (options.song is None) != (options.picture is None):
        parser.error("--song and --picture belong together")
    store = ArtifactStore(open_home(options.home))
    if options.curves:
        file, *names = options.curves
        models = [GenerativeModel.current(store, name) for name in names]
        curves = {model.name: model.curves.to_dicts() for model in models}
        Path(file).write_bytes(plots.loss_curves_side_by_side(curves))
        return
    if options.song:
        options.picture.write_bytes(picture(store, options.song))
        return
    facts = GenerationReport.current(store, "all").facts
    print("## Judges\n")
    print_table(judge_rows(facts))
    for sentence in absent_judges(facts):
        print(f"\n{sentence}")
    print("\n## Overview\n")
    print_table(overview_rows(facts))
    for recipe in facts["recipes"]:
        print(f"\n## {recipe['recipe']}\n")
        print(f"{recipe['title']}. {size_sentence(recipe)}\n")
        print(f"{recipe['verdict']}\n")
        print_table(table_rows(recipe))
        print("\nLevel of each octave band minus that of the source, dB:\n")
        print_table(octave_rows(recipe))
        if recipe["sets"]:
            print("\nDistance to real recordings of the target:\n")
            print_table(set_rows(recipe))
    print_nearest(store)
    print_generative_models(store)


def print_nearest(store: ArtifactStore) -> None:
    """How near each composition is to a training crop, beside the real recording next to it."""
    for sounds in Sounds.of_all_generators(store):
        pairs = [
            (row["nearest_training_crop"]["distance"], row["nearest_of_real"])
            for row in sounds.rows
            if "nearest_training_crop" in row
        ]
        if pairs:
            new, real = (np.array(side) for side in zip(*pairs, strict=True))
            print(
                f"\n{sounds.name}: distance to the nearest training crop, in deviations: median "
                f"{np.median(new):.2f} (least {new.min():.2f}) of {len(new)} compositions, median "
                f"{np.median(real):.2f} (least {real.min():.2f}) of the held-out recordings beside "
                f"them; {int((new < real).sum())} compositions are nearer than their recording."
            )


def print_generative_models(store: ArtifactStore) -> None:
    """What each generative model learned from, what its training noticed, and its evaluation."""
    evaluations = {one.name: one for one in GenerativeEvaluation.all_current(store)}
    for model in GenerativeModel.all_current(store):
        print(f"\n## Generative model {model.name}\n")
        print_table([{k: str(v) for k, v in row.items()} for row in model.facts["recordings"]])
        notes = [f"In training: {note}" for note in model.facts["notes"]]
        evaluation = evaluations.get(model.name)
        sentences = [] if evaluation is None else evaluation.sentences
        for sentence in [*notes, *sentences]:
            print(f"\n- {sentence}")
        if evaluation is not None:
            print("\nDistance (KAD) to held-out recordings, by epoch:\n")
            print_table(distance_rows(evaluation))


def distance_rows(evaluation: GenerativeEvaluation) -> list[dict[str, str]]:
    """A row per evaluated epoch, and others of the real crops; a column per genre."""
    table = evaluation.distances()
    rows = [
        {"samples": f"epoch {epoch}", **{
            row["genre"]: kad(row) for row in table.filter(table["epoch"] == epoch).to_dicts()
        }}
        for epoch in table["epoch"].unique().sort().to_list()
    ]  # fmt: skip
    real = {row["genre"]: kad(row) for row in evaluation.facts["ceiling"]}
    rows.append({"samples": "real crops of the genre", **real})
    if floor := evaluation.facts["floor"]:
        rows.append({"samples": "unchanged sources", **{row["genre"]: kad(row) for row in floor}})
    return rows


def kad(row: Mapping[str, Any]) -> str:
    if row["kad"] is None:
        return f"undetermined ({row['n_reference']} recordings)"
    return f"{row['kad']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def picture(store: ArtifactStore, song: str) -> bytes:
    """PNG with the spectrograms of a song, and of the sounds that each recipe generated from it."""
    transform = MelTransform()
    panels: list[tuple[str, np.ndarray]] = []
    for sounds in Sounds.of_all_generators(store):
        for row in (row for row in sounds.rows if row["path"] == song):
            if not panels:
                panels.append(("the song", log_mel_of(sounds.file(row, "original"), transform)))
            file = sounds.artifact.folder / sounds.new_file(row)
            panels.append((sounds.name, log_mel_of(file, transform)))
    if not panels:
        raise SystemExit(f"no sound was generated from {song!r}")
    return plots.spectrogram_grid(panels, transform, columns=3)


def log_mel_of(path: Path, transform: MelTransform) -> np.ndarray:
    """The log-mel spectrogram of an audio file, `[frame, mel]` in dB."""
    decoded = decode(path)
    mono = resample(to_mono(decoded.samples), decoded.sample_rate, transform.sample_rate)
    return log_mel(stft(mono, n_fft=transform.n_fft, hop=transform.hop), transform)


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    if not rows:
        print("(none)")
        return
    names = list(rows[0])
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" * len(names))
    for row in rows:
        print("| " + " | ".join(row[name] for name in names) + " |")


if __name__ == "__main__":
    main()
