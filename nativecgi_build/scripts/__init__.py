"""Old CGI scripts as programs."""
