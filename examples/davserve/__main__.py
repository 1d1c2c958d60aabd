"""Radicale, a server of calendars and address books, as a CGI program.

Its configuration is the file that RADICALE_CONFIG names, else /etc/radicale/config. A program that
contains Radicale is under its licence, the GPL, version 3 or later.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["radicale==3.9.0", "bcrypt==5.0.0"]
# ///

# What Radicale and passlib import by name.
# nuitka-project: --include-package=radicale
# nuitka-project: --nofollow-import-to=radicale.tests
# nuitka-project: --include-package=passlib.handlers

import io
import tempfile

import bcrypt  # noqa: F401 - which Radicale imports where a password needs it
from passlib.hash import apr_md5_crypt, sha256_crypt, sha512_crypt  # noqa: F401
from radicale import Application, application, config
from radicale.auth import htpasswd, http_x_remote_user, remote_user  # noqa: F401
from radicale.rights import authenticated, from_file, owner_only, owner_write  # noqa: F401

from nativecgi import Request, before_freeze, from_wsgi, run

TIMES = 10  # until the interpreter has adapted its code
EVENT = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:rehearsal
BEGIN:VEVENT
UID:rehearsal
DTSTAMP:20300101T000000Z
DTSTART:20300101T090000Z
DTEND:20300101T100000Z
END:VEVENT
END:VCALENDAR
"""
PROPERTIES = '<propfind xmlns="DAV:"><allprop/></propfind>'
QUERY = """\
<c:calendar-query xmlns:c="urn:ietf:params:xml:ns:caldav" xmlns:d="DAV:">
<d:prop><d:getetag/><c:calendar-data/></d:prop>
<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">
<c:time-range start="20300101T000000Z" end="20300102T000000Z"/>
</c:comp-filter></c:comp-filter></c:filter>
</c:calendar-query>
"""
REHEARSED = (
    ("GET", "/.web/", ""),
    ("MKCALENDAR", "/ann/work/", ""),
    ("PUT", "/ann/work/event.ics", EVENT),
    ("PROPFIND", "/ann/work/", PROPERTIES),
    ("REPORT", "/ann/work/", QUERY),
    ("GET", "/ann/work/event.ics", ""),
    ("DELETE", "/ann/work/", ""),
)


@before_freeze
def rehearse() -> None:
    """Have imported, compiled and cached what requests need: with a calendar of no duration."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "auth": {"type": "none"},
            "storage": {"filesystem_folder": folder},
            "logging": {"level": "critical"},
        }
        configuration = config.load()
        configuration.update(settings, "the rehearsal", privileged=True)
        handle = from_wsgi(Application(configuration))
        for method, path, body in REHEARSED * TIMES:
            env = {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": str(len(body))}
            handle(Request(env, io.BytesIO(body.encode())))


if __name__ == "__main__":
    run(from_wsgi(application))
