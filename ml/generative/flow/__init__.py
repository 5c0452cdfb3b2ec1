"""Rectified flow: a network that turns noise into log-mel spectrograms of a genre."""
