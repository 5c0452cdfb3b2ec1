"""The TOML files that define datasets, experiments, taggers, encoders, recipes and studies.

Importing this package imports no torch.
"""

from melgraph.ml.specs.loading import KINDS, SHIPPED, Specs, choose, load_specs

__all__ = ["KINDS", "SHIPPED", "Specs", "choose", "load_specs"]
