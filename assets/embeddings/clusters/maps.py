"""The pictures of a cluster report: maps, and thumbnails of the spectrograms of the tracks."""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.embeddings.clusters.tracks import OUTSIDE
from melgraph.assets.library.spectrograms import STORE
from melgraph.assets.materialize import inputs_of
from melgraph.assets.stages import MEL_SPECTROGRAMS
from melgraph.assets.ui import progress_bar
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.spectrogram_store import SpectrogramStore

MAPS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def map_picture(method: str) -> str:
    """The name of the file with the picture of a map."""
    return f"map-{method}.png"


def sheet_name(number: int) -> str:
    """The name of the file with a sheet of thumbnails."""
    return f"spectrograms-{number:03d}.webp"


def evenly(count: int, most: int) -> np.ndarray:
    """Numbers of at most `most` of `count` rows, evenly spaced."""
    size = min(count, most)
    return np.arange(size) * count // max(size, 1)


def rows_shown(tracks: pl.DataFrame, most: int) -> np.ndarray:
    """Numbers of at most `most` rows, in ascending order, evenly spaced.

    Up to half of the rows are reserved for tracks outside the dataset, because these may be few and
    are of special interest.
    """
    is_outside = (tracks["part"] == OUTSIDE).fill_null(False).to_numpy()
    outside, others = np.flatnonzero(is_outside), np.flatnonzero(~is_outside)
    count = min(len(outside), max(most // 2, most - len(others)))
    samples = outside[evenly(len(outside), count)], others[evenly(len(others), most - count)]
    return np.sort(np.concatenate(samples))


def write_maps(work: Work, tracks: pl.DataFrame, vectors: np.ndarray) -> dict[str, pl.Series]:
    """Compute and draw the maps.

    At most `config["mapped"]` tracks are mapped (`rows_shown`). t-SNE and UMAP of a large library
    would take hours, and single tracks could not be distinguished on such a map.

    Returns:
        The columns `x_*` and `y_*` of each map; null for tracks that are not mapped.
    """
    from melgraph.ml import plots
    from melgraph.ml.embeddings.maps import project

    rows = rows_shown(tracks, work.spec.config["mapped"])
    labels = tracks["label"].gather(rows).to_list()
    columns = {}
    for method in work.spec.config["maps"]:
        name = MAPS[method]
        with progress_bar(1, "iterations", f"{name} of {len(rows):,} tracks") as bar:

            def show_progress(done: int, total: int, bar: Any = bar) -> None:
                bar.n, bar.total = done, total
                bar.refresh()

            seed = work.spec.seed or 0
            points = project(vectors[rows], method=method, seed=seed, progress=show_progress)
        title = f"{work.spec.partition}: {len(rows):,} tracks ({name})"
        picture = plots.scatter_map(points, labels, title)
        (work.folder / map_picture(method)).write_bytes(picture)
        for axis, values in zip("xy", points.T, strict=True):
            coordinates: list[float | None] = [None] * tracks.height
            for row, value in zip(rows, values.tolist(), strict=True):
                coordinates[row] = value
            columns[f"{axis}_{method}"] = pl.Series(coordinates, dtype=pl.Float32)
    work.facts["mapped"] = len(rows)
    return columns


def write_thumbnails(store: ArtifactStore, work: Work, tracks: pl.DataFrame) -> pl.Series:
    """Draw the spectrograms of at most `config["drawn"]` mapped tracks as sheets of thumbnails.

    A thumbnail takes about 1.3 kB.

    Returns:
        A column with the number of each track's thumbnail; null for tracks without one.
    """
    from melgraph.ml import plots
    from melgraph.ml.plots.thumbnails import COLUMNS, HEIGHT, ROWS, WIDTH

    mapped = rows_shown(tracks, work.spec.config["mapped"])
    rows = mapped[rows_shown(tracks[mapped.tolist()], work.spec.config["drawn"])]
    spectrogram_stores = [
        SpectrogramStore(artifact.folder / STORE)
        for artifact in inputs_of(store, work.spec, MEL_SPECTROGRAMS)
    ]
    store_of_track = {
        track_id: spectrograms
        for spectrograms in spectrogram_stores
        for track_id in spectrograms.track_ids
    }
    numbers: list[int | None] = [None] * tracks.height
    per_sheet, thumbnails, drawn = COLUMNS * ROWS, [], 0
    with progress_bar(len(rows), "tracks", "spectrograms") as bar:
        for row in rows:
            spectrograms = store_of_track.get(track_id := tracks["track_id"][int(row)])
            bar.update()
            values = spectrograms.track(track_id) if spectrograms is not None else None
            if values is None or not len(values):
                continue
            thumbnails.append(plots.thumbnail(values))
            numbers[row] = drawn
            drawn += 1
            if len(thumbnails) == per_sheet:
                _write_sheet(work, drawn // per_sheet - 1, thumbnails)
                thumbnails = []
    if thumbnails:
        _write_sheet(work, drawn // per_sheet, thumbnails)
    work.facts["thumbnails"] = {
        "drawn": drawn, "sheets": -(-drawn // per_sheet), "width": WIDTH, "height": HEIGHT,
        "columns": COLUMNS, "rows": ROWS,
    }  # fmt: skip
    return pl.Series(numbers, dtype=pl.Int32)


def _write_sheet(work: Work, number: int, thumbnails: list[np.ndarray]) -> None:
    from melgraph.ml import plots

    (work.folder / sheet_name(number)).write_bytes(plots.thumbnail_sheet(thumbnails))
