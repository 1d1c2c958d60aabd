"""The freeze point, for programs that answer by means of their own."""

from nativecgi.frozen.freezepoint import reach

__all__ = ["reach"]
