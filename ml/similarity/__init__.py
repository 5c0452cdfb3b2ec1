"""Neighbours of vectors."""
