"""The embeddings wing: encoders in service, embeddings and tags."""
