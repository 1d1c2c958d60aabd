"""How the tests of this folder run a program, and what they expect of it."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# A request for the front page, as a server makes it.
REQUEST = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SCRIPT_NAME": "/cgi-bin/app",
    "REQUEST_METHOD": "GET",
}
# Each app, what it gets besides, and a part of what it then answers.
APPS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "hello": ({"PATH_INFO": "/Ann"}, "Hello Ann"),
    "httpbin": ({"QUERY_STRING": "a=1"}, '"params":{"a":["1"]}'),
    "guestbook": ({"GUESTBOOK_DB": "guestbook.db"}, "<title>Guestbook</title>"),
    "probe": ({"PATH_INFO": "/hooks"}, '"after 1","after 2"'),
}


def run(
    command: Sequence["str | Path"], variables: Mapping[str, str] | None = None, **settings: Any
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env=variables or {},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **settings,
    )


def output(
    command: Sequence["str | Path"], variables: Mapping[str, str] | None = None, **settings: Any
) -> str:
    """What a command prints, if all is well."""
    # For the commands around the program, which unlike it have libraries and a path.
    result = run(
        command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(variables or {})}, **settings
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def assert_answers(name: str, command: Sequence["str | Path"], **settings: Any) -> None:
    """See that a command that runs the app `name` answers as the app does."""
    variables, part = APPS[name]
    answer = output(command, {**REQUEST, **variables}, **settings)
    assert answer.startswith("Status: 200 OK\n")
    assert part in answer
