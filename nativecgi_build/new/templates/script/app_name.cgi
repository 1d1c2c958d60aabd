#!/usr/bin/env python3
"""A CGI script: greets whoever its form names."""

import html
import os
from urllib.parse import parse_qs

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<title>project-name</title>
<h1>Hello {name}</h1>
<form><label>Your name: <input name="name"></label> <button>Greet me</button></form>
"""

query = parse_qs(os.environ.get("QUERY_STRING", ""))
name = query.get("name", ["world"])[0]
print("Content-Type: text/html; charset=utf-8\n")
print(PAGE.format(name=html.escape(name)), end="")
