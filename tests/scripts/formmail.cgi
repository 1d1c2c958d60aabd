#!/usr/bin/python
# -*- coding: latin-1 -*-
#
# formmail.cgi -- sends the fields of a form to the webmaster
#
# FORMMAIL_SENDMAIL and FORMMAIL_RECIPIENT may be set in the server's configuration

import cgi
import cgitb; cgitb.enable(display=0, logdir=None)
import html, os, sys, time

VERSION = "1.9"
HEADER = """Content-Type: text/html; charset=utf-8

<html><head><title>Formular</title></head>
<body bgcolor="#ffffff">
<!-- formmail %s -->
""" % VERSION
FOOTER = "</body></html>"
REQUIRED = ("name", "email", "text")

sendmail = os.environ.get("FORMMAIL_SENDMAIL", "/usr/sbin/sendmail -t")
recipient = os.environ.get("FORMMAIL_RECIPIENT", "webmaster")


class FormError(Exception):
    pass


def error(message):
    print(HEADER)
    print("<h1>Bitte prüfen</h1>")
    print("<p>%s</p>" % html.escape(message))
    print(FOOTER)
    sys.exit()


def field(form, name):
    value = form.getfirst(name, "").strip()
    if name in REQUIRED and not value:
        raise FormError("Das Feld %s fehlt." % name)
    if name == "email" and ("\n" in value or "@" not in value):
        raise FormError("Keine Adresse: %s" % value)
    return value


def send(sender, text):
    p = os.popen(sendmail, "w")
    p.write("To: %s\nFrom: %s\nSubject: Anfrage\n\n" % (recipient, sender))
    p.write(text)
    p.write("\n-- \n%s am %s\n" % (os.environ.get("REMOTE_ADDR"), time.strftime("%d.%m.%Y")))
    if p.close():
        raise IOError("sendmail failed")


def main():
    form = cgi.FieldStorage()
    if "text" not in form and os.environ["REQUEST_METHOD"] == "GET":
        error("Bitte füllen Sie das Formular aus.")
    try:
        name, email, text = [field(form, f) for f in REQUIRED]
    except FormError as e:
        error(str(e))
    send("%s <%s>" % (name, email), text)
    print(HEADER)
    print("<h1>Danke, %s!</h1>" % html.escape(name))
    print(FOOTER)


if __name__ == "__main__":
    main()
