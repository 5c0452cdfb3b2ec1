"""The HTML pages: templates, scripts, and the server that shows them."""
