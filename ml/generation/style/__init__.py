"""The parts of a style transfer: losses, the networks that define them, and what these see."""
