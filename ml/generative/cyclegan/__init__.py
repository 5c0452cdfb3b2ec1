"""CycleGAN: two generators that move each of two genres towards the other."""
