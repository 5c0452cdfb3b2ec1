"""Models on vectors: the published taggers that they come from, their input and explanation."""
