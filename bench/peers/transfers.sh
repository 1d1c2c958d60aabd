#!/bin/sh
# Sends a large file, and counts the bytes of a large body, as a CGI program in sh.

if [ "$REQUEST_METHOD" = POST ]; then
    printf 'Content-Type: text/plain\r\n\r\n'
    exec wc -c
fi
printf 'Content-Type: application/octet-stream\r\nContent-Length: %s\r\n\r\n' "$LARGE_SIZE"
exec cat "$LARGE_FILE"
