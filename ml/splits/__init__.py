"""Assign tracks to splits and folds such that related tracks stay together."""
