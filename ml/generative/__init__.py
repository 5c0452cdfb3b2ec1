"""Generative models: networks that learn from a genre's recordings, and make sound of it."""
