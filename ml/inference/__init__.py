"""From tracks to probabilities, tags and embeddings with a trained network."""
