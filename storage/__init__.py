"""WHERE it is kept: artifacts, records, catalogue, spectrogram stores, tables, vector indexes."""
