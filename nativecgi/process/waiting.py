"""Waits for descriptors that a server has set not to block (O_NONBLOCK)."""


def await_ready(descriptor: int, *, to_write: bool) -> None:
    """Return when something can be written, or read; or when the other end is closed."""
    import select  # servers' pipes and sockets do block as a rule

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if to_write else select.POLLIN)
    poll.poll()
