"""Weights of networks: checkpoints, and files that others published."""
