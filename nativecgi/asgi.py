"""ASGI applications as handlers: `from nativecgi.asgi import from_asgi`."""

from nativecgi.adapters.asgi import ASGIApplication, from_asgi

__all__ = ["ASGIApplication", "from_asgi"]
