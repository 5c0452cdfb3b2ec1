"""The generation wing: sounds made from tracks by trained networks."""
