"""The server of `melgraph ui`: the pages, and the recordings that they play."""
