"""A CGI script whose lines are in the variable SCRIPT, behind its freeze point."""

import os

from nativecgi.adapters.script import process

with process(globals(), "cgi", "cgitb", "shelve", "subprocess"):
    exec(compile(os.environ["SCRIPT"], "script.cgi", "exec"))
