#!/usr/bin/python3
# A site of pages: what the web server runs.
# /// script
# dependencies = ["flask==3.1.3"]
# [tool.nativecgi]
# try = ["/start"]
# ///

from wsgiref.handlers import CGIHandler
from site_of_pages import app

CGIHandler().run(app)
