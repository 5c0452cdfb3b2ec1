"""HOW it is computed: pure functions and torch modules over arrays."""
