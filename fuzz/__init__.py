"""Fuzzing: arbitrary bytes as a request, and what has to hold of the answer."""
