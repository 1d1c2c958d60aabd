"""Real web servers for a folder of CGI programs, for tests and benchmarks: nothing stays behind."""
