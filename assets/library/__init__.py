"""The library wing: tracks, representations, fingerprints and duplicates."""
