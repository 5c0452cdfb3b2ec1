"""Metrics: areas under curves, scores of tags, and agreement between clusters and labels."""
