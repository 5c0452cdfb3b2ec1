"""The service wing: the read-only server of a home, its pages and its queries, over HTTP."""
