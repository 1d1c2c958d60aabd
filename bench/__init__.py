"""Compares start-up and throughput with the same program in other languages: `make bench`."""
