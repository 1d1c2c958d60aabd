"""Functions from handler to handler."""
