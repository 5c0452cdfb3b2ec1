"""The recommendations wing: vector indexes, and the most similar tracks of every track."""
