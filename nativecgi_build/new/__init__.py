"""`nativecgi new`: small projects to begin with."""
