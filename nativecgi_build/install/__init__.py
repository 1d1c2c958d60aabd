"""`nativecgi install`: puts built programs where a web server runs them."""
