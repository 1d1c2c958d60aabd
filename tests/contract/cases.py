"""The whole table."""

from tests.contract import of_requests, of_responses

CASES = (*of_requests.CASES, *of_responses.CASES)
