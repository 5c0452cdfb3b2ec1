"""Metrics: areas under curves, and agreement between clusters and labels."""
