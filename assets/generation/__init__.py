"""The generation wing: sounds that trained networks generate from tracks."""
