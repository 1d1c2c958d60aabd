"""Mercurial repositories on the web."""
