"""The vector index: immutable segments of unit vectors, searched together.

A segment holds the vectors of some track batches as plain `.npy` files: the exact vectors, the ids
of the tracks, and, in a large segment, 4-bit codes of the vectors in cells around centroids. Files
are mapped into memory. A search in few vectors is exact. In many vectors, the codes in the nearest
cells propose candidates, and their exact similarities decide.

A segment of this package is a part of an index. The segments of a track (pieces of its sound, which
are embedded one by one) are something else.

`docs/decisions/0014-the-vector-index.md` says why, with measurements.
"""

from melgraph.storage.vector_index.compaction import segments_of_batches
from melgraph.storage.vector_index.search import EXACT_BELOW, VectorIndex
from melgraph.storage.vector_index.segments import CELLS_FROM, Segment, write_segment

__all__ = [
    "CELLS_FROM",
    "EXACT_BELOW",
    "Segment",
    "VectorIndex",
    "segments_of_batches",
    "write_segment",
]
