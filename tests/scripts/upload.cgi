#!/usr/bin/env -S python3 -u
"""Takes files into a folder, and gives them back."""

import cgi, os, sys
from os.path import basename, getsize, join
from urllib.parse import quote

PAGE = """\
<html><body>
<h1>Files</h1>
<ul>%s</ul>
<form action="%s" method="post" enctype="multipart/form-data">
	<input type="file" name="file"><input type="submit">
</form>
</body></html>
"""

def store(item, folder):
	# Internet Explorer sends the whole path
	name = basename(item.filename.replace("\\", "/"))
	out = open(join(folder, name), "wb")
	while 1:
		data = item.file.read(8192)
		if not data:
			break
		out.write(data)
	out.close()
	return name

class Listing:
	row = '<li><a href="?get=%s">%s</a> (%d bytes)</li>'

	def __init__(self, folder):
		self.folder = folder

	def __str__(self):
		rows = []
		for name in sorted(os.listdir(self.folder)):
			rows.append(self.row % (quote(name), cgi.html.escape(name),
				getsize(join(self.folder, name))))
		return "\n".join(rows)

folder = os.environ.get("UPLOAD_FOLDER") or os.path.dirname(__file__) + "/files"
if not os.path.isdir(folder):
	os.mkdir(folder)
form = cgi.FieldStorage()
if "file" in form:
	store(form["file"], folder)
	print("Status: 303 See Other")
	print("Location: http://%s%s\n" % (os.environ["HTTP_HOST"], os.environ["SCRIPT_NAME"]))
	sys.exit(0)
if "get" in form:
	with open(join(folder, basename(form["get"].value)), "rb") as f:
		data = f.read()
	print("Content-Type: application/octet-stream\nContent-Length: %d\n" % len(data))
	sys.stdout.buffer.write(data)
	raise SystemExit
print("Content-Type: text/html; charset=utf-8")
print()
print(PAGE % (Listing(folder), os.environ["SCRIPT_NAME"]))
