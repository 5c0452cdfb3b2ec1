"""What embedding vectors show: maps, clusters and outliers."""
