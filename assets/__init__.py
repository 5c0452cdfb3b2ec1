"""The assets of melgraph: what is computed, stored and shown, one module for each concept."""
