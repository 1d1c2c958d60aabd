"""What a client gets, request by request, whichever way a program is run."""
