"""A program that shows what a process finds after its thaw."""
