"""Which tracks stay together in one split: the rules, and their version."""

GROUPING_RULES = 1
"""Version of the rules. Add 1 if they now join or separate other tracks.

The configuration of every snapshot names it, as `grouping_rules`. A snapshot that was grouped by
other rules (or has no such key) is no parent of a new one, because its splits may leak.
"""
