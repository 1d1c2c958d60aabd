"""One file, elsewhere: other distributions, kernels, CPUs, limits and surroundings."""
