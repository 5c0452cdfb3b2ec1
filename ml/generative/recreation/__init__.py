"""Recreations: an autoencoder for each genre, which recreates MFCC from a few numbers a frame."""
