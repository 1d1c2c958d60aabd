"""A pool of worker processes that share a listening socket, and the manager that keeps it."""
