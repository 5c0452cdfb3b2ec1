"""Sound from edited spectrograms: deep dreams, and the way back to audio. See README.md."""
