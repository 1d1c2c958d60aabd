"""The ways in which a program is called, a file each, and the one table that chooses."""
