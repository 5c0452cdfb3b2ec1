"""`generative_models`: networks that make music, and how they developed over the training."""
