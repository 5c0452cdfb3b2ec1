"""Content Credentials (C2PA): the certificates that sign a sound, and the signed manifest in it."""
