"""The ten styles, named after the genres of GTZAN (Tzanetakis and Cook 2002)."""

from melgraph.ml.sample_library.grammar import Style
from melgraph.ml.sample_library.styles.acoustic import ACOUSTIC
from melgraph.ml.sample_library.styles.groove import GROOVE
from melgraph.ml.sample_library.styles.guitars import GUITARS

# In alphabetical order: the number of a style is in the seed of its random generators.
STYLES: dict[str, Style] = dict(sorted({**ACOUSTIC, **GROOVE, **GUITARS}.items()))

__all__ = ["STYLES"]
