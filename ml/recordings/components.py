"""Group tracks that must stay in one split: edges between tracks, and their connected components.

Two tracks are connected if they have the same artist, or are the same recording or versions of it.
"""

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(n: int, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Connected components of `n` tracks.

    >>> components(4, [(0, 2), (2, 3)]).tolist()
    [0, 1, 0, 0]

    Args:
        n: number of tracks.
        edges: pairs of rows that belong together; repeated pairs and self-loops have no effect.

    Returns:
        int64 [n]: the component of each row. Components are numbered from 0 in the order of their
        smallest row.

    Raises:
        ValueError: an edge names a row outside of 0 to n - 1.
    """
    pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
        raise ValueError(f"edges name rows {pairs.min()}..{pairs.max()}, there are {n} tracks")
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    graph = coo_array(
        (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n)
    )
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def edges_from_keys(keys: Sequence[str | None]) -> list[tuple[int, int]]:
    """Edges between rows of equal key (artist, duplicate cluster, ...); None connects nothing.

    >>> edges_from_keys(["Ada", "Bob", "Ada", None, None])
    [(0, 2)]
    """
    first: dict[str, int] = {}
    edges = []
    for row, key in enumerate(keys):
        if key is not None:
            anchor = first.setdefault(key, row)
            if anchor != row:
                edges.append((anchor, row))
    return edges


def name_edges(paths: Sequence[str]) -> list[tuple[int, int]]:
    """Edges between files whose names suggest that they are versions of one recording.

    >>> name_edges(["blues/a.wav", "blues/b.wav", "blues/a.crop.wav"])
    [(0, 2)]

    Two files of one folder are connected if their stems are equal (`a.wav`, `a.flac`), or if one
    stem continues the other after a separator, which is any character but a letter or digit.
    `blues.00000` and `blues.00000.crop` are connected, and so are `01 Intro` and `01 Intro (live)`.
    `blues.0000` and `blues.00001` are not, nor are `Track 1` and `Track 10`. Letter case and
    Unicode composition do not matter.

    The rule prefers a wrong edge (`Prelude` and `Prelude No. 2`) to a missing one: a wrong edge
    restricts the split a little, a missing edge is a leak.

    Args:
        paths: path or URL of each track, with `/` between folders.
    """
    stems: dict[tuple[str, str], int] = {}
    edges = []
    keys = [_folder_and_stem(path) for path in paths]
    for row, key in enumerate(keys):
        anchor = stems.setdefault(key, row)
        if anchor != row:
            edges.append((anchor, row))
    for (folder, stem), row in stems.items():
        # The longest stem that it continues is enough: that one is connected to the shorter ones.
        for end in range(len(stem) - 1, 0, -1):
            if not stem[end].isalnum() and (folder, stem[:end]) in stems:
                edges.append((stems[folder, stem[:end]], row))
                break
    return edges


def _folder_and_stem(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    # `.flac` and `.3gp` are extensions; `.00000` (blues.00000) and `. Intro` (01. Intro) are not.
    is_extension = suffix.isalnum() and len(suffix) <= 5 and not suffix.isdecimal()
    key = stem if dot and stem and is_extension else name
    return folder, unicodedata.normalize("NFC", key).casefold()
