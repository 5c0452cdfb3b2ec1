"""Cluster reports: maps, clusters and outliers of an encoder."""
