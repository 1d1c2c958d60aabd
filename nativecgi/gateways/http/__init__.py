"""HTTP/1.1 itself (RFC 9112), without sockets: its requests as CGI's, and CGI's answers as its."""
