"""The Python environment that an app is built in."""
