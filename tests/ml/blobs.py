"""Labelled vectors to cluster."""

import numpy as np


def blobs(n=90, n_labels=3, distance=2.0, seed=0):
    """Vectors [n, 16] around one centre per label, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_labels
    centres = rng.normal(size=(n_labels, 16)) * distance
    return centres[labels] + rng.normal(size=(n, 16)), [f"label {i}" for i in labels]
