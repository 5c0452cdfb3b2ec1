"""Tabular features of a track, as librosa 0.11 computes them; start at `track_features`."""
