"""Procedural music, deterministic from a seed: the library of the demo and of the tests.

Results on it are results on synthetic music. Always label them so.
"""

from melgraph.ml.sample_library.library import MARKER, SampleLibrary, write_sample_library
from melgraph.ml.sample_library.rendering import render_track
from melgraph.ml.sample_library.styles import STYLES

__all__ = ["MARKER", "STYLES", "SampleLibrary", "render_track", "write_sample_library"]
