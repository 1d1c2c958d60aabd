"""Radicale as one file, behind Apache: a server of calendars and address books."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nativecgi.testing import Answer
from servers import apache
from tests.remote import Remote

ROOT = Path(__file__).parents[2]
NAME = "davserve"

# Their passwords are "secret": by bcrypt, SHA-512, and MD5 as Apache's htpasswd makes it.
USERS = """\
ann:$2b$04$jMQSy5efSGR3mF8MOsrqS.Yw9goUx7uKLy8ce1SW6WWJRdi78sySC
bob:$6$rounds=1000$KlRAbFUG/Y5KaMuB$NJO/o.OINBel2qhevKKyVCHFP2AHqP5jDOKqXDyXoL5BLjR.h22Y0yORl6Pd4e0L00LkvTxcn9z2mUe8d1hem/
cat:$apr1$zxl3E.Tp$RXfyRSScBCK0GDQSA894U.
"""
CALDAV = "urn:ietf:params:xml:ns:caldav"
CARDDAV = "urn:ietf:params:xml:ns:carddav"
NAMESPACES = {"d": "DAV:", "c": CALDAV, "a": CARDDAV}
EVENT = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//nativecgi//tests//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
DTSTART:{start}
DURATION:PT1H
SUMMARY:{summary}
{more}END:VEVENT
END:VCALENDAR
"""
CARD = """\
BEGIN:VCARD
VERSION:3.0
UID:bob
FN:Bob
N:;Bob;;;
END:VCARD
"""
MAKE_CALENDAR = f"""\
<c:mkcalendar xmlns:c="{CALDAV}" xmlns:d="DAV:"><d:set><d:prop>
<d:displayname>Work</d:displayname>
</d:prop></d:set></c:mkcalendar>
"""
MAKE_ADDRESSES = f"""\
<d:mkcol xmlns:a="{CARDDAV}" xmlns:d="DAV:"><d:set><d:prop>
<d:resourcetype><d:collection/><a:addressbook/></d:resourcetype>
</d:prop></d:set></d:mkcol>
"""
PROPERTIES = """\
<d:propfind xmlns:d="DAV:"><d:prop>
<d:displayname/><d:resourcetype/><d:getetag/><d:current-user-principal/>
</d:prop></d:propfind>
"""
QUERY = f"""\
<c:calendar-query xmlns:c="{CALDAV}" xmlns:d="DAV:">
<d:prop><d:getetag/><c:calendar-data/></d:prop>
<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">
<c:time-range start="{{start}}T000000Z" end="{{end}}T000000Z"/>
</c:comp-filter></c:comp-filter></c:filter>
</c:calendar-query>
"""
SEARCH = f"""\
<a:addressbook-query xmlns:a="{CARDDAV}" xmlns:d="DAV:">
<d:prop><d:getetag/><a:address-data/></d:prop>
<a:filter><a:prop-filter name="FN"><a:text-match>bob</a:text-match></a:prop-filter></a:filter>
</a:addressbook-query>
"""
SYNCHRONIZATION = """\
<d:sync-collection xmlns:d="DAV:">
<d:sync-token>{token}</d:sync-token><d:prop><d:getetag/></d:prop>
</d:sync-collection>
"""


@pytest.fixture
def url(deployed: Callable[[str], Path], served: Path) -> Iterator[str]:
    """Where Apache has Radicale."""
    users, configuration = served / "users", served / "radicale.conf"
    users.write_text(USERS)
    configuration.write_text(f"""\
[auth]
type = htpasswd
htpasswd_filename = {users}
delay = 0
[storage]
filesystem_folder = {served / "collections"}
[logging]
level = warning
""")
    environment = {"RADICALE_CONFIG": str(configuration)}
    with apache.serving(deployed(NAME), environment=environment) as server:
        yield f"{server.url}/{NAME}"


class Dav:
    """A user's client."""

    def __init__(self, url: str, user: str, password: str = "secret") -> None:
        self._url = url
        self._credentials = b64encode(f"{user}:{password}".encode()).decode()

    def __call__(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        fields = {"Authorization": f"Basic {self._credentials}"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Remote(self._url).request(method, path, headers=fields, body=body.encode())

    def found(self, method: str, path: str, body: str, **headers: str) -> dict[str, str]:
        """The resources in a multistatus answer: each one's text."""
        answer = self(method, path, body, **headers)
        assert answer.status == 207
        return {
            response.findtext("d:href", "", NAMESPACES): "".join(response.itertext())
            for response in ElementTree.fromstring(answer.body).findall("d:response", NAMESPACES)
        }


@pytest.fixture
def ann(url: str) -> Dav:
    """Of the user Ann, who has a calendar."""
    ann = Dav(url, "ann")
    assert ann("MKCALENDAR", "/ann/work/", MAKE_CALENDAR).status == 201
    return ann


def event(uid: str, day: str, summary: str = "Meeting", more: str = "") -> str:
    text = EVENT.format(uid=uid, start=f"{day}T090000Z", summary=summary, more=more)
    return text.replace("\n", "\r\n")


@pytest.mark.parametrize("user", ["ann", "bob", "cat"])
def test_who_knows_the_password_is_let_in(url: str, user: str) -> None:
    assert Dav(url, user)("PROPFIND", f"/{user}/", PROPERTIES).status == 207
    refused = Dav(url, user, "Secret")("PROPFIND", f"/{user}/", PROPERTIES)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")


def test_what_is_another_s_is_not_let_see(url: str, ann: Dav) -> None:
    assert Dav(url, "bob")("PROPFIND", "/ann/work/", PROPERTIES).status == 403
    assert Dav(url, "bob")("PUT", "/ann/work/a.ics", event("a", "20260501")).status == 403


def test_a_client_finds_the_calendars_of_its_user(ann: Dav) -> None:
    home = ann.found("PROPFIND", "/", PROPERTIES, Depth="0")
    assert any(f"/cgi-bin/{NAME}/ann/" in text for text in home.values())
    calendars = ann.found("PROPFIND", "/ann/", PROPERTIES, Depth="1")
    assert "Work" in calendars[f"/cgi-bin/{NAME}/ann/work/"]


def test_an_event_is_put_found_changed_and_deleted(ann: Dav) -> None:
    path, day = "/ann/work/a.ics", QUERY.format(start="20260501", end="20260502")
    put = ann("PUT", path, event("a", "20260501"), If_None_Match="*", Content_Type="text/calendar")
    assert put.status == 201
    (found,) = ann.found("REPORT", "/ann/work/", day, Depth="1").values()
    assert "SUMMARY:Meeting" in found
    changed = ann("PUT", path, event("a", "20260501", "Lunch"), If_Match=put.headers["etag"])
    assert changed.status in (201, 204)
    stale = ann("PUT", path, event("a", "20260501"), If_Match=put.headers["etag"])
    assert stale.status == 412
    answer = ann("GET", path)
    assert "SUMMARY:Lunch" in answer.text
    assert answer.headers["content-type"].startswith("text/calendar")
    assert ann("DELETE", path).status == 200
    assert ann("GET", path).status == 404
    assert ann.found("REPORT", "/ann/work/", day, Depth="1") == {}


def test_events_are_found_by_their_date(ann: Dav) -> None:
    days = {"a": "20260501", "b": "20260601", "weekly": "20260105"}
    for uid, day in days.items():
        more = "RRULE:FREQ=WEEKLY\n" if uid == "weekly" else ""
        ann("PUT", f"/ann/work/{uid}.ics", event(uid, day, more=more))

    def between(start: str, end: str) -> set[str]:
        query = QUERY.format(start=start, end=end)
        return {Path(path).stem for path in ann.found("REPORT", "/ann/work/", query, Depth="1")}

    assert between("20260430", "20260502") == {"a"}
    assert between("20260501", "20260602") == {"a", "b", "weekly"}
    assert between("20270104", "20270105") == {"weekly"}
    assert between("20250101", "20250201") == set()


def test_times_in_a_zone_are_compared_as_such(ann: Dav) -> None:
    body = event("a", "20260501").replace(
        "DTSTART:20260501T090000Z", "DTSTART;TZID=Europe/Vienna:20260501T013000"
    )
    assert ann("PUT", "/ann/work/a.ics", body).status == 201
    query = QUERY.format(start="20260430", end="20260501")
    assert len(ann.found("REPORT", "/ann/work/", query, Depth="1")) == 1


def test_a_client_is_told_what_has_changed_since_it_last_asked(ann: Dav) -> None:
    def changes(token: str) -> tuple[list[str], str]:
        answer = ann("REPORT", "/ann/work/", SYNCHRONIZATION.format(token=token))
        tree = ElementTree.fromstring(answer.body)
        hrefs = [element.text or "" for element in tree.iterfind(".//d:href", NAMESPACES)]
        return hrefs, tree.findtext("d:sync-token", "", NAMESPACES)

    ann("PUT", "/ann/work/a.ics", event("a", "20260501"))
    paths, token = changes("")
    assert [Path(path).name for path in paths] == ["a.ics"]
    ann("PUT", "/ann/work/b.ics", event("b", "20260501"))
    paths, token = changes(token)
    assert [Path(path).name for path in paths] == ["b.ics"]
    assert changes(token) == ([], token)


def test_what_is_no_event_is_refused(ann: Dav) -> None:
    assert ann("PUT", "/ann/work/a.ics", "BEGIN:NONSENSE").status == 400
    assert ann("REPORT", "/ann/work/", "<not xml").status == 400


def test_an_address_is_put_and_found(ann: Dav) -> None:
    assert ann("MKCOL", "/ann/people/", MAKE_ADDRESSES).status == 201
    assert ann("PUT", "/ann/people/bob.vcf", CARD.replace("\n", "\r\n")).status == 201
    (found,) = ann.found("REPORT", "/ann/people/", SEARCH, Depth="1").values()
    assert "FN:Bob" in found


def test_events_that_are_put_at_once_are_all_kept(ann: Dav) -> None:
    def put(number: int) -> int:
        return ann("PUT", f"/ann/work/{number}.ics", event(str(number), "20260501")).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put, range(24))) == {201}
    assert ann("GET", "/ann/work/").text.count("BEGIN:VEVENT") == 24


@pytest.mark.parametrize("name", ["index.html", "css/main.css", "css/icons/key.svg", "js/main.js"])
def test_the_web_interface_is_in_the_file(ann: Dav, url: str, name: str) -> None:
    folders = ROOT / "build" / "apps" / NAME / "venv"
    (folder,) = folders.glob("lib/python*/site-packages/radicale/web/internal_data")
    answer = Remote(url).get(f"/.web/{name}")
    assert (answer.status, answer.body) == (200, (folder / name).read_bytes())
    assert Remote(url).get("/.web/nonesuch.css").status == 404
