"""Charts of models, sounds and libraries, as PNG bytes.

Every function builds its own matplotlib `Figure` (no pyplot, no global state) and returns a
palette PNG without metadata. The same inputs give the same bytes. The charts are about 840 pixels
wide, for a page that is 700 pixels wide. Artifacts store them, so that a changed word in a chart
changes the bytes of artifacts.
"""

from melgraph.ml.plots.charts import bars, confusion_matrix, histogram, scatter_map, training_curves
from melgraph.ml.plots.clusters import contingency_matrix, distance_histograms
from melgraph.ml.plots.generative import (
    Panel,
    generative_curves,
    loss_curves_side_by_side,
    mfcc_pair,
    pca_scatter,
    sample_sheet,
)
from melgraph.ml.plots.occurrences import occurrence_chart
from melgraph.ml.plots.spectrograms import (
    mel_spectrogram,
    sound_comparison,
    spectrogram_grid,
    spectrogram_triptych,
)
from melgraph.ml.plots.studies import (
    arms_chart,
    curves_chart,
    differences_chart,
    reliability_diagram,
)
from melgraph.ml.plots.style import COLOURS, MARKERS
from melgraph.ml.plots.tags import tag_chart
from melgraph.ml.plots.thumbnails import thumbnail, thumbnail_sheet

__all__ = [
    "COLOURS",
    "MARKERS",
    "Panel",
    "arms_chart",
    "bars",
    "confusion_matrix",
    "contingency_matrix",
    "curves_chart",
    "differences_chart",
    "distance_histograms",
    "generative_curves",
    "histogram",
    "loss_curves_side_by_side",
    "mel_spectrogram",
    "mfcc_pair",
    "occurrence_chart",
    "pca_scatter",
    "reliability_diagram",
    "sample_sheet",
    "scatter_map",
    "sound_comparison",
    "spectrogram_grid",
    "spectrogram_triptych",
    "tag_chart",
    "thumbnail",
    "thumbnail_sheet",
    "training_curves",
]
