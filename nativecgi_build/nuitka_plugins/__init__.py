"""What nativecgi adds to Nuitka: plugins, and the C that they put into programs."""
