"""The generation wing: sounds that are generated from recordings."""
