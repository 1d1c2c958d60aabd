#!/usr/bin/env perl
# The guestbook as a CGI program in Perl, with DBI and DBD::SQLite.

use strict;
use warnings;
use DBI;

# The page's beginning, filled in from apps/guestbook.py.
my $head = '@HEAD@';
my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#x27;');

sub answer {
    my ($status, $header, $body) = @_;
    print "Status: $status\r\n$header\r\nContent-Length: ", length $body, "\r\n\r\n", $body;
}

sub escaped {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

sub list {
    my ($database) = @_;
    my $rows = $database->prepare('SELECT name, message, substr(created, 1, 16) FROM entries '
        . 'ORDER BY id DESC LIMIT 100');
    my $page = $head;

    $rows->execute;
    while (my ($name, $message, $created) = $rows->fetchrow_array) {
        $page .= '<article><h2>' . escaped($name)
            . "</h2><time datetime=\"${created}Z\">$created UTC</time><p>"
            . escaped($message) . "</p></article>\n";
    }
    answer('200 OK', 'Content-Type: text/html; charset=utf-8', $page);
}

sub field {
    my ($value) = @_;
    $value = '' unless defined $value;
    $value =~ tr/+/ /;
    $value =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $value;
}

sub is_refused {
    my ($name, $value, $most) = @_;
    my $characters = $value;
    return if utf8::decode($characters) && $characters ne '' && length $characters <= $most;
    answer('400 Bad Request', 'Content-Type: text/plain; charset=utf-8',
        "A $name has 1 to $most characters.\n");
    return 1;
}

sub add {
    my ($database) = @_;
    read STDIN, my $body, $ENV{CONTENT_LENGTH};
    my %fields = map { split /=/, $_, 2 } grep { /=/ } split /&/, $body;
    my ($name, $message) = (field($fields{name}), field($fields{message}));

    return if is_refused('name', $name, 80) || is_refused('message', $message, 2000);
    $database->do('PRAGMA journal_mode = WAL');
    $database->do('PRAGMA synchronous = NORMAL');
    $database->do('INSERT INTO entries (name, message) VALUES (?, ?)', undef, $name, $message);
    answer('303 See Other', "Location: $ENV{SCRIPT_NAME}", '');
}

my $database = DBI->connect("dbi:SQLite:dbname=$ENV{GUESTBOOK_DB}", '', '', { RaiseError => 1 });
$database->sqlite_busy_timeout(5000);
$ENV{REQUEST_METHOD} eq 'POST' ? add($database) : list($database);
$database->disconnect;
