"""The recommendations wing: indexes and nearest tracks."""
