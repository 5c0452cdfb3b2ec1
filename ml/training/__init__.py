"""Training networks: the loop, its state on disk, augmentation, folds and trials."""
