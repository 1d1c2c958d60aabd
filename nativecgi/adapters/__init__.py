"""Applications that were not written for nativecgi: WSGI, ASGI and old CGI scripts."""
