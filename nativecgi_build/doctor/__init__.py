"""`nativecgi doctor`: what this machine lacks for building and running programs."""
