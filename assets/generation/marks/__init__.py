"""Marks of generated sounds, and the signed copies that leave the home."""
