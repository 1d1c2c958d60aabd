"""Serving on this machine alone, for trying things."""
