"""The representations of a track: which there are and how they are computed."""
