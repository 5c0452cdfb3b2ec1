"""The pictures of `exploration_reports`, and the tables behind them.

A function draws nothing if the dataset lacks the data for its picture.
"""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.dataset.exploration.tables import PARTS, spectrograms
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.tables import write_table

CORRELATIONS, SPECTRA, EXAMPLES = "correlations.parquet", "mel_spectra.parquet", "examples.parquet"
BALANCE_PICTURE, EXAMPLES_PICTURE = "class_balance.png", "examples.png"
DURATIONS_PICTURE, LOUDNESS_PICTURE = "durations.png", "loudness.png"
FEATURES_PICTURE, CORRELATIONS_PICTURE = "features.png", "correlations.png"
SPECTRA_PICTURE = "mean_spectra.png"


def sound_columns(features: pl.DataFrame) -> list[str]:
    """The names of the tabular features in the table of all quantities, sorted."""
    return sorted(features.filter(pl.col("kind") == "sound")["feature"].to_list())


def _add_picture(work: Work, file: str, data: bytes, alt: str) -> None:
    (work.folder / file).write_bytes(data)
    work.facts["pictures"][file] = alt


def draw_balance(work: Work, classes: pl.DataFrame, class_names: list[str]) -> None:
    """Draw the number of tracks per class and part of the split."""
    from melgraph.ml.plots import exploration as plots

    rows = classes.filter(pl.col("class").is_in(class_names)).to_dicts()
    if not rows:
        return
    counts = {row["class"]: {part: row[part] for part in PARTS} for row in rows}
    parts = [part for part in PARTS if any(by_part[part] for by_part in counts.values())]
    alt = "Tracks per class: " + ", ".join(f"{row['class']} {row['tracks']}" for row in rows)
    _add_picture(work, BALANCE_PICTURE, plots.class_balance(counts, parts), alt)


def _by_class(rows: pl.DataFrame, column: str, class_names: list[str]) -> dict[str, np.ndarray]:
    finite = rows.filter(pl.col(column).is_finite())
    return {
        name: finite.filter(pl.col("class") == name)[column].to_numpy().astype(np.float64)
        for name in class_names
    }


def draw_recordings(work: Work, tracks: pl.DataFrame, class_names: list[str]) -> None:
    """Draw the durations and the levels of some tracks by class."""
    from melgraph.ml.plots import exploration as plots

    lengths = _by_class(tracks, "duration_s", class_names)
    if any(map(len, lengths.values())):
        png = plots.histograms_by_class(lengths, xlabel="seconds", title="Length of the tracks")
        _add_picture(work, DURATIONS_PICTURE, png, "Histogram of track length for each class")
        panels = {
            "RMS level, dBFS": _by_class(tracks, "rms_dbfs", class_names),
            "peak level, dBFS": _by_class(tracks, "peak_dbfs", class_names),
        }
        png = plots.boxes_by_class(panels, title="Loudness")
        _add_picture(work, LOUDNESS_PICTURE, png, "Boxes of RMS and peak level for each class")


def draw_features(
    work: Work, measured: pl.DataFrame, features: pl.DataFrame, class_names: list[str]
) -> None:
    """Draw the correlations of all features that vary, and boxes of those that separate classes."""
    from melgraph.ml import exploration
    from melgraph.ml.plots import exploration as plots

    work.facts.update(shown_features=[], separable=False)
    all_names = sound_columns(features)
    values = measured.select(all_names).to_numpy()
    names = np.array(all_names)[exploration.varies(values)].tolist()
    work.facts["features"] = {"all": len(all_names), "varying": len(names)}
    if measured.height < 3 or not names:
        return
    correlations = exploration.rank_correlations(measured.select(names).to_numpy())
    order = exploration.order_by_similarity(correlations)
    ordered = correlations[np.ix_(order, order)]
    ordered_names = [names[column] for column in order]
    columns = dict(zip(ordered_names, ordered.T, strict=True))
    table = pl.DataFrame({"feature": ordered_names} | columns)
    write_table(table, work.folder / CORRELATIONS)
    png = plots.correlation_map(ordered, ordered_names, f"Features of {measured.height:,} tracks")
    alt = f"Map of the rank correlations of {len(ordered_names)} features, alike ones side by side"
    _add_picture(work, CORRELATIONS_PICTURE, png, alt)

    eta = dict(features.select("feature", "eta_squared").iter_rows())
    work.facts["separable"] = any(eta[name] is not None for name in names)
    if work.facts["separable"]:
        scores = np.array([eta[name] or 0.0 for name in names])
    else:
        scores = exploration.representativeness(correlations)
    config = work.spec.config
    selected = exploration.select_features(
        scores, correlations, count=config["features_shown"], most_alike=config["most_alike"]
    )
    work.facts["shown_features"] = [names[column] for column in selected]
    panels = {
        names[column]
        + (f"  (η² {eta[names[column]]:.2f})" if eta[names[column]] is not None else ""): _by_class(
            measured, names[column], class_names
        )
        for column in selected
    }
    png = plots.boxes_by_class(panels)
    alt = "Boxes for each class of " + ", ".join(work.facts["shown_features"])
    _add_picture(work, FEATURES_PICTURE, png, alt)


def draw_spectra(
    store: ArtifactStore, work: Work, sampled: pl.DataFrame, class_names: list[str]
) -> None:
    """Draw the mean mel spectrum of each class, from its tracks with the smallest ids."""
    from melgraph.ml.plots import exploration as plots
    from melgraph.ml.spectral import mel_frequencies

    each = work.spec.config["spectra_per_class"]
    tracks = sampled.filter(
        pl.col("class").is_in(class_names), pl.int_range(pl.len()).over("class") < each
    )
    means: dict[str, list[np.ndarray]] = {}
    transform: Any = None
    for row, values, transform in spectrograms(store, work.spec, tracks):  # noqa: B007
        means.setdefault(row["class"], []).append(values.mean(axis=0, dtype=np.float64))
    spectra = {
        name: (np.mean(means[name], axis=0), *np.percentile(means[name], [10, 90], axis=0))
        for name in class_names
        if name in means
    }
    columns: dict[str, list[Any]] = {
        "class": [], "frequency_hz": [], "mean_db": [], "p10_db": [], "p90_db": []
    }  # fmt: skip
    for name, curves in spectra.items():
        columns["class"] += [name] * transform.n_mels
        columns["frequency_hz"] += mel_frequencies(transform).astype(float).tolist()
        for key, values in zip(("mean_db", "p10_db", "p90_db"), curves, strict=True):
            columns[key] += values.tolist()
    schema = dict.fromkeys(columns, pl.Float64) | {"class": pl.String}
    write_table(pl.DataFrame(columns, schema=schema), work.folder / SPECTRA)
    if spectra:
        png = plots.mean_spectra(spectra, transform, "Mean mel spectrum")
        _add_picture(work, SPECTRA_PICTURE, png, "Mean mel spectrum of each class")


def draw_examples(
    store: ArtifactStore,
    work: Work,
    measured: pl.DataFrame,
    features: pl.DataFrame,
    class_names: list[str],
) -> None:
    """Write an example of each class, with a picture: its medoid by standardised features."""
    from melgraph.ml import plots
    from melgraph.ml.exploration import medoid, standardise

    points = standardise(measured.select(sound_columns(features)).to_numpy())
    labels = measured["class"].to_numpy()
    rows = [np.flatnonzero(labels == name) for name in class_names]
    medoids = [int(members[medoid(points[members])]) for members in rows if len(members)]
    examples: list[dict[str, Any]] = []
    drawn = []
    transform: Any = None
    for row, values, transform in spectrograms(store, work.spec, measured[medoids]):
        number = class_names.index(row["class"]) + 1
        frames = min(transform.frames(work.spec.config["excerpt_s"]), len(values))
        start = (len(values) - frames) // 2
        excerpt = np.asarray(values[start : start + frames])
        file = f"example-{number:02d}.png"
        (work.folder / file).write_bytes(plots.mel_spectrogram(excerpt, transform, row["class"]))
        track = {key: row[key] for key in ("class", "track_id", "path", "artist", "title")}
        start_s = start / transform.frames_per_second
        seconds = frames / transform.frames_per_second
        examples.append(track | {"start_s": start_s, "seconds": seconds, "picture": file})
        drawn.append((row["class"], excerpt))
    schema = dict.fromkeys(("class", "track_id", "path", "artist", "title"), pl.String) | {
        "start_s": pl.Float64, "seconds": pl.Float64, "picture": pl.String
    }  # fmt: skip
    write_table(pl.DataFrame(examples, schema=schema).sort("class"), work.folder / EXAMPLES)
    if drawn:
        png = plots.spectrogram_grid(sorted(drawn, key=lambda item: item[0]), transform)
        (work.folder / EXAMPLES_PICTURE).write_bytes(png)
