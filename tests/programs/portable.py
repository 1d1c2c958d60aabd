"""Reaches its freeze point, then does one after the other what libraries choose by the CPU.

Each step's name and result is a line on standard output, written before the next step begins; so
the last line tells how far it got. STEPS names the steps, with commas between them; all of them
if it is not set. Its argument is a file with a certificate and its key.
"""

import decimal
import hashlib
import hmac
import json
import lzma
import math
import os
import re
import sqlite3
import ssl
import sys
import threading
import zlib
from collections.abc import Callable

import msgspec

from nativecgi.frozen.freezepoint import reach

TEXT = "".join(f"{number} grüße aus der Kälte; " for number in range(3000))
DATA = TEXT.encode()


def digest(*values: object) -> str:
    return hashlib.md5(repr(values).encode()).hexdigest()


def strings() -> str:
    """memcpy, memchr, memcmp, strlen and their like, on short and long."""
    parts = [DATA[start : start + size] for start in range(64) for size in (1, 15, 64, 300, 5000)]
    found = [(part.find(b"Z"), part.rfind(b"g"), part.count(b";"), part + part) for part in parts]
    return digest(found, sorted(parts), DATA.split(b" "), os.fsencode(TEXT) == DATA)


def expressions() -> str:
    return digest(re.findall(r"(\d+) (gr\w+)", TEXT)[-3:], TEXT.upper()[:100])


def numbers() -> str:
    """libm chooses among its functions as libc does."""
    one = (math.floor, math.ceil, math.trunc, math.sin, math.cos, math.tan, math.exp, math.log)
    two = (math.pow, math.fmod, math.atan2, math.hypot)
    values = [0.1 * number for number in range(1, 500)]
    # The last bits depend on the CPU's fused multiplication, if it has one.
    return digest(
        [f"{function(value):.10e}" for function in one for value in values],
        [f"{function(value, 1.5):.10e}" for function in two for value in values],
        [round(value, 1) for value in values],
        decimal.Decimal(2).sqrt(),
    )


def hashes() -> str:
    names = "md5 sha1 sha224 sha256 sha384 sha512 sha3_256 blake2b blake2s".split()
    key = hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1000)
    derived = hashlib.scrypt(b"password", salt=b"salt", n=64, r=8, p=1)
    return digest(
        [hashlib.new(name, DATA).hexdigest() for name in names],
        *(hmac.digest(b"key", DATA, "sha512"), key, derived),
    )


def tls() -> str:
    """A handshake and an echo with each cipher, both ends in memory."""
    return ", ".join(cipher for name in CIPHERS for cipher in echoed(name))


# Of TLS 1.3, which prefers AES-256-GCM; the others of 1.2.
CIPHERS = (
    "",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA",
)


def echoed(cipher: str) -> list[str]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    if cipher:
        client_context.maximum_version = ssl.TLSVersion.TLSv1_2
        client_context.set_ciphers(cipher)
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    client.write(DATA[:10000])
    if server.read(10000) != DATA[:10000]:
        raise ValueError(cipher)
    chosen = client.cipher()
    return [chosen[0]] if chosen else []


def drawn() -> str:
    """Random bytes, OpenSSL's among them."""
    return str([len({draw(16) for _time in range(100)}) for draw in (os.urandom, ssl.RAND_bytes)])


def deflate() -> str:
    packed = zlib.compress(DATA)
    return digest(zlib.decompress(packed) == DATA, zlib.crc32(DATA), zlib.adler32(DATA))


def xz() -> str:
    """With the checks that liblzma does the same on every CPU."""
    checks = (lzma.CHECK_CRC32, lzma.CHECK_SHA256)
    packed = [lzma.compress(DATA, check=check, preset=0) for check in checks]
    return digest([lzma.decompress(part) == DATA for part in packed])


def documents() -> str:
    value = {"text": TEXT, "numbers": [number / 7 for number in range(1000)]}
    texts = json.dumps(value), msgspec.json.encode(value), msgspec.msgpack.encode(value)
    return digest(json.loads(texts[0]) == msgspec.json.decode(texts[1]) == value, texts)


def database() -> str:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table words (place, word)")
    connection.executemany("insert into words values (?, ?)", enumerate(TEXT.split()))
    query = "select word, sum(place) from words where word like '%e' group by word"
    rows = connection.execute(query).fetchall()
    connection.close()
    return digest(rows)


def threads() -> str:
    results: list[str] = []
    started = [threading.Thread(target=lambda: results.append(hashes())) for _ in range(2)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return digest(sorted(results))


def crc64() -> str:
    """What `lzma.compress` does unless told otherwise: with PCLMULQDQ where there is one."""
    return digest(lzma.decompress(lzma.compress(DATA, preset=0)) == DATA)


def step_named(name: str) -> Callable[[], str]:
    step: Callable[[], str] = globals()[name]
    return step


STEPS = (
    "strings expressions numbers hashes tls drawn deflate xz documents database threads crc64"
).split()

if __name__ == "__main__":
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.set_ciphers(":".join(filter(None, CIPHERS)))  # some Pythons leave the last out
    server_context.load_cert_chain(sys.argv[1])
    reach(lambda: lambda: None)
    for name in os.environ.get("STEPS", ",".join(STEPS)).split(","):
        sys.stdout.write(f"{name} {step_named(name)()}\n")
        sys.stdout.flush()
