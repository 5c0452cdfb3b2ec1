"""The one place that makes HTML: templates, shared style, players."""
