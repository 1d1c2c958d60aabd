#!/usr/bin/env perl
# "Hello world" as a CGI program in Perl, without modules.

my $body = "Hello world";

print "Status: 200 OK\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Content-Length: ", length $body, "\r\n",
    "\r\n",
    $body;
