"""Relative links from a page to the files that it shows.

A page lies at `<home>/artifacts/pages/all/<version>/`: three folders up are the artifacts, four up
is the home, whose `library` link leads to the recordings. The same links work from disk and over
http, because the server keeps the same tree.
"""

from urllib.parse import quote

from melgraph.storage.records import Reference

ARTIFACTS = "../../../"
LIBRARY = "../../../../library/"


def quote_path(path: str) -> str:
    """A path as part of a URL: every segment quoted, `/` kept."""
    return "/".join(quote(segment, safe="") for segment in path.split("/"))


def artifact_link(reference: Reference, file: str) -> str:
    """The link to a file of another artifact."""
    return ARTIFACTS + quote_path(f"{reference}/{file}")


def audit_command(reference: Reference) -> str:
    """The command that shows what an artifact was computed from, and verifies every byte."""
    return f"melgraph audit {reference}"
