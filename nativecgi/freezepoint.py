"""The freeze point, for programs that answer in their own way."""

from nativecgi.frozen.freezepoint import reach

__all__ = ["reach"]
