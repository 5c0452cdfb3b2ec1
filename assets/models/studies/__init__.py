"""Studies: questions that are answered by training several arms."""
