"""Representations of a track: `registry` lists them, `analysis` computes them from a file."""
