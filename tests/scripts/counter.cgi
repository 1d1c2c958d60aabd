#!/usr/bin/python3
# How many have seen the page; see http://www.example.com/scripts/
import os, sys
import fcntl
import shelve, atexit
sys.stderr = sys.stderr or sys.stdout
from time import time, localtime, strftime

DIGITS = "<b>%06d</b>"
def lock():
    global lockfile
    lockfile = open("counter.lock", "w")
    fcntl.flock(lockfile, fcntl.LOCK_EX)

def bye():
    print("<!-- bye -->")

atexit.register(bye)
lock()
try:
    count = int(open("counter.txt").read())
except IOError:
    count = 0
count = count + 1
out = open("counter.txt", "w")
out.write(str(count))
log = shelve.open("counter.db")
log[str(count)] = strftime("%Y", localtime(time()))
print("Content-type: text/html\n")
print(DIGITS % count)
print("seen:", len(log))
sys.stdout.flush()
os.system("echo '<!-- from the shell -->'")
if os.environ.get("QUERY_STRING") == "fail":
    raise KeyError("no such page")
