"""The dataset wing: snapshots with labels and splits."""
