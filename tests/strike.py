"""A function for programs of tests: has SIGTERM come at one line of Python or another."""

# To be put into a program that imports signal and sys.
STRIKE_AT = """
def strike_at(number):
    # Have SIGTERM come at a line of Python: the `number`th after there is a handler for it.
    count = 0
    def trace(frame, event, arg):
        nonlocal count
        handler = signal.getsignal(signal.SIGTERM)
        if event == "line" and callable(handler) and count >= 0:
            count += 1
            if count == number:
                count = -1
                sys.settrace(None)
                handler(signal.SIGTERM, frame)  # as the interpreter calls it, between two lines
        return trace
    sys.settrace(trace)
"""
