"""WSGI applications as handlers: `from nativecgi.wsgi import from_wsgi`."""

from nativecgi.adapters.wsgi import from_wsgi

__all__ = ["from_wsgi"]
