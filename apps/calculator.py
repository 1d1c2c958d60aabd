"""Calculates with two numbers that it receives as JSON.

Try: curl -d '{"left": 6, "right": 7, "operator": "*"}' URL
"""

import math
import operator
from collections.abc import Callable
from io import BytesIO

from msgspec import Struct

from nativecgi import HTTPError, Request, Response, json, method_not_allowed, not_found, run

Number = int | float

OPERATORS: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


class Calculation(Struct):
    """What to calculate."""

    left: Number
    right: Number
    operator: str


class Outcome(Struct):
    """What came out."""

    result: Number


def calculate(calculation: Calculation) -> Number:
    """The result; raises HTTPError (400) with a sentence where there is none."""
    operate = OPERATORS.get(calculation.operator)
    if operate is None:
        known = " ".join(OPERATORS)
        raise HTTPError(400, f"There is no operator {calculation.operator!r}, only {known}.")
    try:
        result = operate(calculation.left, calculation.right)
    except ZeroDivisionError:
        raise HTTPError(400, "Nothing can be divided by zero.") from None
    except OverflowError:
        result = math.inf
    if isinstance(result, int) and not -(2**63) <= result < 2**64:
        result = float(result)  # JSON libraries agree on no larger integers
    if not math.isfinite(result):
        raise HTTPError(400, "The result is too large.")
    return result


def handle(request: Request) -> Response:
    match request.method, request.parts:
        case "POST", []:
            return json(Outcome(calculate(request.json(Calculation))))
        case _, []:
            return method_not_allowed("POST")
        case _:
            return not_found()


if __name__ == "__main__":
    body = BytesIO(b'{"left": 6, "right": 7, "operator": "*"}')
    run(handle, warmup=[Request({"REQUEST_METHOD": "POST"}, body)])
