"""The chart of the k-occurrence."""

import io

import numpy as np
from PIL import Image

from melgraph.ml.plots.occurrences import occurrence_chart

ORDERS = ("by cosine", "as recommended")
COUNTS = np.array([0, 3, 10, 12, 40])


def test_it_is_a_png_and_the_same_bytes_again():
    counts = {"one": (COUNTS, COUNTS[::2]), "two": (None, COUNTS), "empty": (COUNTS[:0], None)}
    chart = occurrence_chart(counts, orders=ORDERS, mean=10.0)
    assert Image.open(io.BytesIO(chart)).format == "PNG"
    assert chart == occurrence_chart(counts, orders=ORDERS, mean=10.0)
    changed = {**counts, "one": (COUNTS + 5, COUNTS[::2])}
    assert chart != occurrence_chart(changed, orders=ORDERS, mean=10.0)
