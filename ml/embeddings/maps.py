"""Maps of many-dimensional vectors in the plane: PCA, t-SNE, UMAP.

On one machine, each gives the same bytes for the same vectors and seed. In t-SNE and UMAP only the
neighbourhoods are meaningful: the axes, the sizes of groups and the distances between them are not.
The parameters are those that the authors recommend. None was chosen by looking at labels.
"""

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from melgraph.ml.compilation import numba_lock
from melgraph.ml.embeddings.scaling import Scaling, scale

Method = Literal["pca", "tsne", "umap"]
Progress = Callable[[int, int], None]
"""Called with the number of finished iterations, and the number of all."""

PERPLEXITY = 30.0  # of t-SNE, if there are enough tracks
NEIGHBOURS = 15  # of UMAP, including the track itself
MIN_DIST = 0.1  # of UMAP
FEWEST = 5  # tracks for t-SNE and UMAP; fewer are shown by PCA
_EXAGGERATED, _ITERATIONS, _REPORT_EVERY = 250, 500, 25  # iterations of t-SNE


def project(
    vectors: NDArray[np.floating],
    *,
    method: Method,
    seed: int,
    scaling: Scaling = "l2",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Projects vectors onto a plane.

    - `pca`: the two directions of largest variance, with a fixed sign: the largest loading of each
      axis is positive.
    - `tsne`: van der Maaten & Hinton 2008, by openTSNE (Poličar, Stražar & Zupan 2024), with
      perplexity min(30, (n - 1) / 3).
    - `umap`: McInnes, Healy & Melville 2018, with min(15, n) neighbours, found exactly.

    The last two start from PCA, which preserves the global arrangement (Kobak & Linderman 2021).
    For fewer than 5 tracks, or vectors on one line, they give the result of PCA. If all vectors are
    equal, all points are (0, 0). An axis that the vectors do not have (with one dimension, or two
    tracks) is 0.

    Args:
        vectors: float [n, d], finite, n >= 1.
        method: which projection.
        seed: of t-SNE and of UMAP.
        scaling: how the vectors are scaled first.
        progress: called from time to time during t-SNE and UMAP.

    Returns:
        float32 [n, 2].

    Raises:
        UserError: there are no vectors, or values are not finite.
    """
    scaled = scale(vectors, scaling).astype(np.float64)
    plane: NDArray[np.floating] = np.zeros((len(scaled), 2))
    # Vectors that differ by rounding only would give a map of rounding errors.
    if _is_constant(scaled):
        return plane.astype(np.float32)
    n_axes = min(2, *scaled.shape)
    # Several threads add up numbers in the order in which they finish: the last bits would vary.
    with threadpool_limits(limits=1):
        plane[:, :n_axes] = PCA(n_axes, random_state=seed).fit_transform(scaled)
        if len(scaled) >= FEWEST and not _is_constant(plane[:, 1:]) and method != "pca":
            fit = _tsne if method == "tsne" else _umap
            plane = fit(scaled, plane, seed, progress or (lambda done, of: None))
    return plane.astype(np.float32)


def _is_constant(values: NDArray[np.floating]) -> bool:
    return bool(np.ptp(values, axis=0).max() <= 1e-6 * max(1.0, np.abs(values).max()))


def _tsne(
    scaled: NDArray[np.float64], plane: NDArray[np.floating], seed: int, progress: Progress
) -> NDArray[np.floating]:
    from openTSNE import TSNE

    done, of = 0, _EXAGGERATED + _ITERATIONS

    def report(iteration: int, error: float, embedding: object) -> None:
        nonlocal done
        done += _REPORT_EVERY
        progress(min(done, of), of)

    points = TSNE(
        perplexity=min(PERPLEXITY, (len(scaled) - 1) / 3),
        initialization=plane / plane[:, 0].std() * 1e-4,
        early_exaggeration_iter=_EXAGGERATED,
        n_iter=_ITERATIONS,
        neighbors="exact",
        random_state=seed,
        n_jobs=1,
        callbacks=report,
        callbacks_every_iters=_REPORT_EVERY,
    ).fit(scaled)
    return np.asarray(points)


def _umap(
    scaled: NDArray[np.float64], plane: NDArray[np.floating], seed: int, progress: Progress
) -> NDArray[np.floating]:
    count = min(NEIGHBOURS, len(scaled))
    near = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(scaled)
    distances, indices = near.kneighbors(scaled)
    with numba_lock(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it keeps no index for later tracks
        from umap import UMAP

        points = UMAP(
            n_neighbors=count,
            min_dist=MIN_DIST,
            init=plane,
            precomputed_knn=(indices, distances.astype(np.float32)),
            random_state=seed,
            n_jobs=1,
            tqdm_kwds=_tqdm_settings(progress),
        ).fit_transform(scaled)
    return np.asarray(points)


class _ProgressFile:
    """A file for tqdm to write its bar to: it passes "done/total" on to the callback."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def write(self, text: str) -> None:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit():
            self.progress(int(done), int(total))

    def flush(self) -> None:
        pass


def _tqdm_settings(progress: Progress) -> dict[str, object]:
    """Settings that UMAP passes on to its tqdm bar of epochs; it has no callback of its own."""
    return {
        "disable": False,
        "file": _ProgressFile(progress),
        "bar_format": "{n_fmt}/{total_fmt}",
        "desc": "",
        "ncols": 80,
        "mininterval": 0.5,
    }
