"""A bookshelf: the books one has read, with Django's admin, in SQLite. A project as for any server.

Its settings are in settings.py, and what each process reads from its environment in process.py.
"""
