"""The process that a program runs in: environment, streams, signals, time limit, end."""
