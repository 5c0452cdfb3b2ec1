"""Judging generated sounds by networks that had no part in making them, with intervals."""
