"""Answers with what each use of packaged data has seen, and gets a page by https."""

import importlib.metadata
import os

import httpx

from nativecgi import Request, Response, json, not_found, run, text

from . import operations


def get() -> str:
    """The status of a page, or how it is not to be had."""
    try:
        return str(httpx.get(os.environ["HTTPS_URL"]).status_code)
    except httpx.ConnectError as error:
        return str(error)


def handle(request: Request) -> Response:
    match request.parts:
        case ["operations"]:
            return json(operations.all_results())
        case ["https"]:
            return text(get())
        case ["metadata", name]:
            found = importlib.metadata.distribution(name)
            points = [(it.name, it.value) for it in importlib.metadata.entry_points(group="shop")]
            return json([found.version, found.metadata["Name"], points])
        case _:
            return not_found()


if __name__ == "__main__":
    run(handle)
