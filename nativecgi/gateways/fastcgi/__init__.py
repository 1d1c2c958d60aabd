"""FastCGI 1.0: a process answers one request after the other on a server's connection."""
