"""What an inversion estimates: phases from amplitudes, and amplitudes from mel bands."""
