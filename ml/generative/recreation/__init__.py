"""Recreations: a network for each genre that recreates the MFCC of its songs."""
