"""The part of the service that a browser shows: pages, artifacts, recordings."""
