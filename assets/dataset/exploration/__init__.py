"""Exploration reports: what a dataset holds."""
