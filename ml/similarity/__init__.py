"""Similarity of vectors, and the labels of their neighbours."""
