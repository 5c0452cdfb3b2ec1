"""Which files hold the same recording: fingerprints, matching and clusters."""
