"""Analysis of embedding vectors: maps, clusters and outliers."""
