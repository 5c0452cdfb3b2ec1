"""Synthetic vectors with the structure of real embeddings, and figures to compare them with.

    python benchmarks/similarity_vectors.py                   # figures of synthetic vectors
    python benchmarks/similarity_vectors.py VECTORS.npy...    # and of real ones

A file of real vectors holds unit vectors, float `[track, dimension]`, for example `vectors.npy` of
an index segment.

A synthetic vector is a common mean plus the position of a genre, of an artist in the genre, and of
a track around the artist. Artists differ in how alike their tracks are. All positions are normally
distributed with variances that fall as i^-1.3 along axes that no coordinate is parallel to.
"""

import sys
from pathlib import Path

import numpy as np

DIMENSION = 200
MEAN_NORM, VARIANCE = 0.78, 0.4
EXPONENT = 1.3  # of the variances along the axes
GENRES, TRACKS_PER_ARTIST = 20, 10
OF_GENRE, OF_ARTIST, OF_TRACK = 0.3, 0.3, 0.4  # shares of the variance
UNEVENNESS = 0.6  # standard deviation of the logarithm of an artist's spread
_LOT = 65_536


def synthetic(n: int, n_catalogue: int, seed: int, dimension: int = DIMENSION) -> np.ndarray:
    """Unit vectors, float32 `[n, dimension]`.

    Args:
        n: how many.
        n_catalogue: tracks of the catalogue that they belong to; it sets the number of artists.
            Equal numbers give equal artists, so that queries can be drawn from the same ones.
        seed: of the tracks.
        dimension: of a vector.
    """
    fixed = np.random.default_rng(1)
    deviations = np.sqrt(np.arange(1, dimension + 1) ** -EXPONENT)
    deviations *= np.sqrt(VARIANCE / np.square(deviations).sum())
    rotation = np.linalg.qr(fixed.normal(size=(dimension, dimension)))[0]
    axes = (deviations[:, None] * rotation).astype(np.float32)
    mean = fixed.normal(size=dimension)
    mean = (mean / np.linalg.norm(mean) * MEAN_NORM).astype(np.float32)
    n_artists = max(1, n_catalogue // TRACKS_PER_ARTIST)
    genres = fixed.standard_normal((GENRES, dimension), np.float32) * np.float32(OF_GENRE**0.5)
    artists = fixed.standard_normal((n_artists, dimension), np.float32) * np.float32(OF_ARTIST**0.5)
    artists += genres[fixed.integers(0, GENRES, n_artists)]
    spread = np.exp(fixed.normal(-(UNEVENNESS**2), UNEVENNESS, n_artists)) * OF_TRACK**0.5
    drawn = np.random.default_rng(seed)
    vectors = np.empty((n, dimension), np.float32)
    for start in range(0, n, _LOT):
        lot = vectors[start : start + _LOT]
        artist = drawn.integers(0, n_artists, len(lot))
        own = drawn.standard_normal(lot.shape, np.float32)
        own *= spread[artist, None].astype(np.float32)
        np.add(mean, (artists[artist] + own) @ axes, out=lot)
        lot /= np.linalg.norm(lot, axis=1, keepdims=True)
    return vectors


def figures(vectors: np.ndarray) -> dict[str, str]:
    """What describes the spread of unit vectors, as text."""
    some = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), 2000)).astype(int)]
    mean = some.mean(axis=0)
    variances = np.linalg.eigvalsh(np.cov(some, rowvar=False))[::-1]
    shares = variances / variances.sum()
    similarity = some[:500] @ vectors.T
    similarity[similarity > 1 - 1e-6] = np.nan  # itself, and exact copies
    largest = np.abs(some).max()
    codes = np.rint(some * (127 / largest))
    error = np.square(codes @ codes.T * (largest / 127) ** 2 - some @ some.T)

    def percentiles(values: np.ndarray) -> str:
        return " / ".join(f"{value:.2f}" for value in np.nanpercentile(values, [5, 50, 95]))

    return {
        "norm of the mean vector": f"{np.linalg.norm(mean):.2f}",
        "variance around it": f"{variances.sum():.2f}",
        "largest three shares of it": " ".join(f"{share:.2f}" for share in shares[:3]),
        "participation ratio": f"{1 / np.square(shares).sum():.1f}",
        "similarity to the nearest (5, 50, 95 %)": percentiles(np.nanmax(similarity, axis=1)),
        "similarity of all pairs (5, 50, 95 %)": percentiles(similarity[:, :5000]),
        "largest coordinate": f"{largest:.2f}",
        "error of a similarity by 8 bits": f"{np.sqrt(error.mean()):.5f}",
    }


def main() -> None:
    columns = {f"synthetic, {n:,}": figures(synthetic(n, n, 3)) for n in (131, 2500, 100_000)}
    for name in sys.argv[1:]:
        vectors = np.load(name)
        columns[f"{Path(name).stem}, {len(vectors):,}"] = figures(vectors)
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for row in next(iter(columns.values())):
        print(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")


if __name__ == "__main__":
    main()
