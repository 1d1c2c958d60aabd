#!/usr/bin/python3
# What a script finds: its streams, sys, builtins, its source. QUERY_STRING says what is shown.
import builtins, fileinput, inspect, io, json, linecache, os, select, signal, sys, traceback

STREAM = "name mode encoding errors newlines line_buffering write_through closed".split()
BUFFER = "name mode closed closefd".split()

def known(thing, names):
    found = {}
    for name in names:
        try:
            value = getattr(thing, name)
            found[name] = repr(value() if callable(value) else value)
        except Exception as error:
            found[name] = "%s: %s" % (type(error).__name__, error)
    return found

def stream(name):
    it = getattr(sys, name)
    asked = "fileno isatty readable writable seekable".split()
    found = {"class": type(it).__name__, "same": it is getattr(sys, "__%s__" % name)}
    found.update(known(it, STREAM + asked))
    raw = getattr(it.buffer, "raw", it.buffer)
    found["buffer"] = dict(known(it.buffer, BUFFER + asked), kind=type(it.buffer).__name__)
    found["raw"] = dict(known(raw, BUFFER + asked), is_file=isinstance(raw, io.FileIO))
    return found

def of_sys():
    found = {name: repr(value) for name, value in vars(sys).items()
             if isinstance(value, (bool, int, str, float)) and name != "float_repr_style"}
    found["path[0]"] = repr(sys.path[0])
    found["argv"] = repr(sys.argv)
    found["flags"] = repr(sys.flags)
    found["encodings"] = [sys.getdefaultencoding(), sys.getfilesystemencoding(),
                          sys.getfilesystemencodeerrors()]
    found["limits"] = [sys.getrecursionlimit(), sys.get_int_max_str_digits(), sys.getswitchinterval()]
    found["hooks"] = [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__,
                      sys.unraisablehook is sys.__unraisablehook__, sys.gettrace(), sys.getprofile()]
    return found

def of_source():
    found = {"getsource": inspect.getsource(stream), "line": linecache.getline(__file__, 1)}
    found["module"] = inspect.getsource(sys.modules["__main__"])
    found["file"] = inspect.getfile(stream) == inspect.getsourcefile(stream)
    try:
        1 / 0  # a comment
    except ZeroDivisionError:
        found["traceback"] = traceback.format_exc().splitlines()[2].strip()
    return found

def quits(name):
    quit_ = getattr(builtins, name, None)
    return [repr(quit_), type(quit_).__name__]

mode = os.environ.get("QUERY_STRING", "")
n = int(os.environ.get("CONTENT_LENGTH") or 0)
print("Content-Type: text/plain\n")
if mode == "streams":
    print(json.dumps({name: stream(name) for name in ("stdin", "stdout", "stderr")}))
elif mode == "sys":
    print(json.dumps(of_sys()))
elif mode == "names":
    print(json.dumps({"sys": dir(sys), "builtins": dir(builtins), "main": sorted(globals())}))
elif mode == "main":
    print(json.dumps([__name__, __file__, repr(__doc__), repr(__package__), repr(__spec__),
                      os.getcwd(), sys.argv[0] == __file__, sys.path[0] == os.path.dirname(__file__),
                      sorted(os.environ), quits("exit"), quits("quit"),
                      repr(signal.getsignal(signal.SIGPIPE)), repr(signal.getsignal(signal.SIGINT))]))
elif mode == "source":
    print(json.dumps(of_source()))
elif mode == "exit":
    exit(3)
elif mode == "quit":
    quit()
elif mode == "input":
    print(repr(input()), repr(input()))
elif mode == "lines":
    for line in sys.stdin:
        print(repr(line))
elif mode == "osread":
    print(os.read(0, n))
elif mode == "osread_part":
    print(os.read(0, 3))
elif mode == "fdopen":
    print(os.fdopen(0, "rb").read(n))
elif mode == "open0":
    print(repr(open(0, encoding="utf-8", closefd=False).read()))
elif mode == "readn":
    print(repr(sys.stdin.read(n)))
elif mode == "bufread":
    print(sys.stdin.buffer.read(n))
elif mode == "bufall":
    print(sys.stdin.buffer.read())
elif mode == "bufline":
    print(sys.stdin.buffer.readline(), sys.stdin.buffer.read1(4), sys.stdin.buffer.peek(1)[:1])
elif mode == "rawread":
    print(sys.stdin.buffer.raw.read(3), sys.stdin.buffer.raw.readall())
elif mode == "json":
    print(json.load(sys.stdin))
elif mode == "select":
    print(bool(select.select([sys.stdin], [], [], 1)[0]))
    print(sys.stdin.buffer.raw.read(3))
elif mode == "fileinput":
    for line in fileinput.input(["-"]):
        print(repr(line))
elif mode == "detach":
    print(sys.stdin.detach().read(n))
elif mode == "reconf":
    sys.stdin.reconfigure(encoding="latin-1")
    print(ascii(sys.stdin.read()))
elif mode == "newline":
    sys.stdin.reconfigure(newline=None)
    print(ascii(sys.stdin.read()))
elif mode == "close":
    sys.stdin.close()
    print("closed")
elif mode == "child":
    sys.stdout.flush()
    os.system("cat")
elif mode == "half":
    print(sys.stdin.buffer.read(2))
    sys.stdout.flush()
    os.system("wc -c")
elif mode == "none":
    print("not read")
