"""The settings of the generation methods, a module each. Imports no torch."""
