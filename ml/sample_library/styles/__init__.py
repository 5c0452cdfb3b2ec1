"""The ten styles, named after the genres of GTZAN (Tzanetakis and Cook 2002)."""

from melgraph.ml.sample_library.grammar import Style
from melgraph.ml.sample_library.styles.acoustic import ACOUSTIC
from melgraph.ml.sample_library.styles.groove import GROOVE
from melgraph.ml.sample_library.styles.guitars import GUITARS

# In alphabetical order: the place of a style is part of every random stream (`style_number`).
STYLES: dict[str, Style] = dict(sorted({**ACOUSTIC, **GROOVE, **GUITARS}.items()))

__all__ = ["STYLES"]
