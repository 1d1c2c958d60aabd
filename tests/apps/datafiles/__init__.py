"""A program that uses its own packaged data in every documented way."""
