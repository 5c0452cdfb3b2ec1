"""Where results are stored: artifacts, records, catalogue, spectrograms, tables, vector indexes."""
