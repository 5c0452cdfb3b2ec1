"""Recreations beside the originals in a plane: a PCA of the mean MFCC of songs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from melgraph.ml.errors import UserError


@dataclass(frozen=True)
class Projection:
    """Songs and their recreations in the plane of the first two principal components.

    Attributes:
        originals: float64 `[song, 2]`.
        recreations: float64 `[song, 2]`, of the same songs.
        explained: share of the variance of the originals that each component explains.
    """

    originals: np.ndarray
    recreations: np.ndarray
    explained: tuple[float, float]


def project(originals: Sequence[np.ndarray], recreations: Sequence[np.ndarray]) -> Projection:
    """Project the mean MFCC of originals and recreations.

    The components are those of the originals only, so that recreations cannot turn the plane
    towards themselves. Each coefficient is divided by its deviation between the originals, because
    coefficient 0 is much larger than the others.

    Args:
        originals: of each song float `[frame, coefficient]`.
        recreations: of the same songs, in the same order.

    Raises:
        UserError: there are fewer than 3 songs.
        ValueError: the numbers of originals and recreations differ.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    if len(originals) != len(recreations):
        raise ValueError(f"{len(originals)} originals and {len(recreations)} recreations")
    if len(originals) < 3:
        raise UserError(
            f"a PCA with two components needs at least 3 songs, there are {len(originals)}",
            where="the recreated songs",
            remedy="recreate more songs",
        )
    means = _means(originals)
    scaler = StandardScaler().fit(means)
    with np.errstate(invalid="ignore"):  # songs that do not differ have no variance to divide by
        pca = PCA(2, svd_solver="full").fit(scaler.transform(means))
    first, second = (float(share) for share in np.nan_to_num(pca.explained_variance_ratio_))
    return Projection(
        originals=pca.transform(scaler.transform(means)),
        recreations=pca.transform(scaler.transform(_means(recreations))),
        explained=(first, second),
    )


def _means(songs: Sequence[np.ndarray]) -> np.ndarray:
    """float64 `[song, coefficient]`: the mean over the frames of each song."""
    return np.stack([np.asarray(song, np.float64).mean(axis=0) for song in songs])
