"""A request's body and an answer on their way: all that reads and writes their descriptors."""
