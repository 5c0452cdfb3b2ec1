"""Maps of many-dimensional vectors in the plane: PCA, t-SNE, UMAP.

Each gives the same bytes for the same vectors and seed, on one machine. Only neighbourhoods of
t-SNE and UMAP mean something: not their axes, and not how far apart or how large far groups are.
Parameters are the ones their authors give; none was chosen by looking at labels.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from melgraph.ml.embeddings.scaling import Scaling, scale

Method = Literal["pca", "tsne", "umap"]
Progress = Callable[[int, int], None]
"""Called with the iterations done, and of how many."""

PERPLEXITY = 30.0  # of t-SNE, where there are tracks enough
NEIGHBOURS = 15  # of UMAP, the track itself among them
MIN_DIST = 0.1  # of UMAP
FEWEST = 5  # tracks; PCA shows fewer as well as anything
_EXAGGERATED, _ITERATIONS, _TOLD_EVERY = 250, 500, 25  # iterations of t-SNE


def project(
    vectors: NDArray[np.floating],
    *,
    method: Method,
    seed: int,
    scaling: Scaling = "l2",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """A map of the vectors in the plane.

    - `pca`: the two directions of largest variance, with a fixed sign: the largest loading of each
      axis is positive.
    - `tsne`: van der Maaten & Hinton 2008, by openTSNE (Poličar, Stražar & Zupan 2024), with
      perplexity min(30, (n - 1) / 3).
    - `umap`: McInnes, Healy & Melville 2018, with min(15, n) neighbours, found exactly.

    The last two start from PCA, which is what keeps far groups in place (Kobak & Linderman 2021).
    Where there is nothing for them to do, PCA is given instead: fewer than 5 tracks, or vectors
    that lie on one line. Vectors that are all equal lie in (0, 0); an axis that the vectors do not
    have (one dimension, two tracks) is 0.

    Args:
        vectors: float [n, d], finite, n >= 1.
        method: which map.
        seed: of t-SNE and of UMAP.
        scaling: what is done to the vectors before.
        progress: told now and then how far t-SNE or UMAP has come.

    Returns:
        float32 [n, 2].

    Raises:
        UserError: no vectors, or values that are not finite.
    """
    scaled = scale(vectors, scaling).astype(np.float64)
    plane: NDArray[np.floating] = np.zeros((len(scaled), 2))
    # Beyond rounding there is nothing to see: a map of noise would look like one of music.
    if _still(scaled):
        return plane.astype(np.float32)
    n_axes = min(2, *scaled.shape)
    # Several threads add up in the order they finish in: other last bits every time.
    with threadpool_limits(limits=1):
        plane[:, :n_axes] = PCA(n_axes, random_state=seed).fit_transform(scaled)
        if len(scaled) >= FEWEST and not _still(plane[:, 1:]) and method != "pca":
            draw = _tsne if method == "tsne" else _umap
            plane = draw(scaled, plane, seed, progress or (lambda done, of: None))
    return plane.astype(np.float32)


def _still(values: NDArray[np.floating]) -> bool:
    return bool(np.ptp(values, axis=0).max() <= 1e-6 * max(1.0, np.abs(values).max()))


def _tsne(
    scaled: NDArray[np.float64], plane: NDArray[np.floating], seed: int, progress: Progress
) -> NDArray[np.floating]:
    from openTSNE import TSNE

    done, of = 0, _EXAGGERATED + _ITERATIONS

    def told(iteration: int, error: float, embedding: object) -> None:
        nonlocal done
        done += _TOLD_EVERY
        progress(min(done, of), of)

    made = TSNE(
        perplexity=min(PERPLEXITY, (len(scaled) - 1) / 3),
        initialization=plane / plane[:, 0].std() * 1e-4,
        early_exaggeration_iter=_EXAGGERATED,
        n_iter=_ITERATIONS,
        neighbors="exact",
        random_state=seed,
        n_jobs=1,
        callbacks=told,
        callbacks_every_iters=_TOLD_EVERY,
    ).fit(scaled)
    return np.asarray(made)


def _umap(
    scaled: NDArray[np.float64], plane: NDArray[np.floating], seed: int, progress: Progress
) -> NDArray[np.floating]:
    count = min(NEIGHBOURS, len(scaled))
    near = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(scaled)
    distances, indices = near.kneighbors(scaled)
    with _alone_with_numba(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no index for later tracks is kept
        from umap import UMAP

        made = UMAP(
            n_neighbors=count,
            min_dist=MIN_DIST,
            init=plane,
            precomputed_knn=(indices, distances.astype(np.float32)),
            random_state=seed,
            n_jobs=1,
            tqdm_kwds=_told_by_tqdm(progress),
        ).fit_transform(scaled)
    return np.asarray(made)


class _Ticks:
    """A file that tqdm draws its bar into: "done/total", which goes to the callback."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def write(self, text: str) -> None:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit():
            self.progress(int(done), int(total))

    def flush(self) -> None:
        pass


def _told_by_tqdm(progress: Progress) -> dict[str, object]:
    """UMAP has no callback, but hands these to the tqdm it counts its epochs with."""
    return {
        "disable": False,
        "file": _Ticks(progress),
        "bar_format": "{n_fmt}/{total_fmt}",
        "desc": "",
        "ncols": 80,
        "mininterval": 0.5,
    }


@contextmanager
def _alone_with_numba() -> Iterator[None]:
    """One process at a time imports and runs UMAP.

    numba keeps what it compiles on disk, on import and on first use. A cache that two processes
    fill at once can make every later run end in a segmentation fault.
    """
    from filelock import FileLock

    user = os.getuid() if hasattr(os, "getuid") else 0
    with FileLock(Path(tempfile.gettempdir()) / f"melgraph-numba-{user}.lock"):
        yield
