"""Fuzzing: arbitrary bytes as a request or from a server, and what has to hold of the outcome."""
