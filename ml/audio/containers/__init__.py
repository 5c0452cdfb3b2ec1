"""The structure of audio files: what their bytes say that the decoders do not report."""
