"""What builds programs, and never runs on a server."""
