"""Sound made from spectrograms: edits, dreams, and the way back to audio. See README.md."""
