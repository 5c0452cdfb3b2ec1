"""Splits and folds that keep related tracks together."""
