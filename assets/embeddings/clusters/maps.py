"""The pictures of a cluster report: its maps, and a small spectrogram of every track drawn."""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.embeddings.clusters.tracks import OUTSIDE
from melgraph.assets.library import ingest
from melgraph.assets.materialize import inputs_of
from melgraph.assets.progress import progress_bar
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.spectrogram_store import SpectrogramStore

MAPS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def map_picture(method: str) -> str:
    """The file with the picture of a map."""
    return f"map-{method}.png"


def sheet_name(number: int) -> str:
    """The file of a sheet of thumbnails."""
    return f"spectrograms-{number:03d}.webp"


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of `count` rows, evenly spaced."""
    shown = min(count, most)
    return np.arange(shown) * count // max(shown, 1)


def rows_shown(tracks: pl.DataFrame, most: int) -> np.ndarray:
    """At most so many rows, in order: evenly chosen, but up to half of them tracks outside the
    dataset, which may be few, and are what is looked for.
    """
    outside = (tracks["part"] == OUTSIDE).fill_null(False).to_numpy()
    unheard, others = np.flatnonzero(outside), np.flatnonzero(~outside)
    count = min(len(unheard), max(most // 2, most - len(others)))
    chosen = unheard[evenly(len(unheard), count)], others[evenly(len(others), most - count)]
    return np.sort(np.concatenate(chosen))


def write_maps(work: Work, tracks: pl.DataFrame, vectors: np.ndarray) -> dict[str, pl.Series]:
    """Draw the maps; returns the columns `x_*` and `y_*`, null for tracks that have no place.

    Of more tracks than `config["mapped"]`, so many are mapped (`rows_shown`): t-SNE and UMAP of a
    large library take hours, and show no more than dots.
    """
    from melgraph.ml import plots
    from melgraph.ml.embeddings.maps import project

    rows = rows_shown(tracks, work.spec.config["mapped"])
    labels = tracks["label"].gather(rows).to_list()
    columns = {}
    for method in work.spec.config["maps"]:
        name = MAPS[method]
        with progress_bar(1, "iterations", f"{name} of {len(rows):,} tracks") as bar:

            def told(done: int, of: int, bar: Any = bar) -> None:
                bar.n, bar.total = done, of
                bar.refresh()

            points = project(vectors[rows], method=method, seed=work.spec.seed or 0, progress=told)
        title = f"{work.spec.partition}: {len(rows):,} tracks ({name})"
        picture = plots.scatter_map(points, labels, title)
        (work.folder / map_picture(method)).write_bytes(picture)
        for axis, values in zip("xy", points.T, strict=True):
            placed: list[float | None] = [None] * tracks.height
            for row, value in zip(rows, values.tolist(), strict=True):
                placed[row] = value
            columns[f"{axis}_{method}"] = pl.Series(placed, dtype=pl.Float32)
    work.facts["mapped"] = len(rows)
    return columns


def write_thumbnails(store: ArtifactStore, work: Work, tracks: pl.DataFrame) -> pl.Series:
    """Draw sheets of small spectrograms; returns the number of each track's thumbnail, or null.

    Of at most `config["drawn"]` of the tracks that are mapped (`rows_shown`): about 1.3 kB each.
    """
    from melgraph.ml import plots
    from melgraph.ml.plots.thumbnails import COLUMNS, HEIGHT, ROWS, WIDTH

    mapped = rows_shown(tracks, work.spec.config["mapped"])
    rows = mapped[rows_shown(tracks[mapped.tolist()], work.spec.config["drawn"])]
    stores = [
        SpectrogramStore(a.folder / ingest.STORE) for a in inputs_of(store, work.spec, ingest.MEL)
    ]
    place = {track_id: opened for opened in stores for track_id in opened.track_ids}
    numbers: list[int | None] = [None] * tracks.height
    each, pending, drawn = COLUMNS * ROWS, [], 0
    with progress_bar(len(rows), "tracks", "spectrograms") as bar:
        for row in rows:
            opened = place.get(track_id := tracks["track_id"][int(row)])
            bar.update()
            values = opened.track(track_id) if opened is not None else None
            if values is None or not len(values):
                continue
            pending.append(plots.thumbnail(values))
            numbers[row] = drawn
            drawn += 1
            if len(pending) == each:
                _write_sheet(work, drawn // each - 1, pending)
                pending = []
    if pending:
        _write_sheet(work, drawn // each, pending)
    work.facts["thumbnails"] = {
        "drawn": drawn, "sheets": -(-drawn // each), "width": WIDTH, "height": HEIGHT,
        "columns": COLUMNS, "rows": ROWS,
    }  # fmt: skip
    return pl.Series(numbers, dtype=pl.Int32)


def _write_sheet(work: Work, number: int, thumbnails: list[np.ndarray]) -> None:
    from melgraph.ml import plots

    (work.folder / sheet_name(number)).write_bytes(plots.thumbnail_sheet(thumbnails))
