"""The generators whose networks are generative models."""
