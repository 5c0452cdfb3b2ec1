"""WHAT exists: the assets, one small module per stage."""
