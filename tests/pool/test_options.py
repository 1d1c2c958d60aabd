"""nativecgi.pool.options: the options of a pool, and the variables that stand for them."""

import os

import msgspec
import pytest

from nativecgi.pool.options import Options, parse

FASTCGI = ["--fastcgi", "/run/app.sock"]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], env: dict[str, str]) -> str:
    """What is said of wrong options."""
    with pytest.raises(SystemExit) as exit:
        parse(arguments, env)
    assert exit.value.code == 2
    return capsys.readouterr().err


def test_everything_but_the_gateway_has_a_default() -> None:
    assert parse(FASTCGI, {}) == Options(
        gateway="fastcgi",
        address="/run/app.sock",
        mode="660",
        owner=None,
        processes=max(4, 2 * len(os.sched_getaffinity(0))),
        spare=2,
        isolation="request",
        max_requests=0,
        idle_timeout=10,
        request_timeout=0,
        grace=30,
        log=None,
    )


OTHERS = {
    "mode": ("0600", "0600"),
    "owner": ("www-data:adm", "www-data:adm"),
    "processes": ("7", 7),
    "spare": ("0", 0),
    "isolation": ("process", "process"),
    "max_requests": ("1000", 1000),
    "idle_timeout": ("2.5", 2.5),
    "request_timeout": ("60", 60),
    "grace": ("0", 0),
    "log": ("/var/log/app.log", "/var/log/app.log"),
}
each_setting = pytest.mark.parametrize(
    ("name", "text", "value"), [(n, *o) for n, o in OTHERS.items()]
)


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return f"NATIVECGI_{name.upper()}"


def test_each_setting_is_tried_here() -> None:
    fields = {field.name for field in msgspec.structs.fields(Options)}
    assert fields == {"gateway", "address", *OTHERS}


@each_setting
def test_an_option_is_taken(name: str, text: str, value: object) -> None:
    assert getattr(parse([*FASTCGI, option(name), text], {}), name) == value


@each_setting
def test_a_variable_is_taken(name: str, text: str, value: object) -> None:
    assert getattr(parse(FASTCGI, {variable(name): text}), name) == value


@each_setting
def test_an_option_wins_over_its_variable(name: str, text: str, value: object) -> None:
    env = {variable(name): "not allowed at all:::"}
    assert getattr(parse([*FASTCGI, option(name), text], env), name) == value


WRONG = {
    "mode": (["", "rw", "888", "66", "1777"], "three octal digits, such as 660"),
    "owner": (["", ":", "a:b:c", ":group", "a b"], "neither USER nor USER:GROUP"),
    "processes": (["", "0", "-1", "1.5", "many", "1_0", "1000000"], "from 1 to 999999"),
    "spare": (["-1", "x"], "from 0 to 999999"),
    "isolation": (["", "thread"], 'neither "request" nor "process"'),
    "max_requests": (["-1", "1e3"], "from 0 to 999999"),
    "idle_timeout": (["-1", "inf", "nan", "1 s"], "such as 30 or 0.5"),
    "request_timeout": (["", "1e9"], "such as 30 or 0.5"),
    "grace": (["soon"], "such as 30 or 0.5"),
    "log": ([""], "the path of a file"),
}
each_mistake = pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [(name, text, allowed) for name, (texts, allowed) in WRONG.items() for text in texts],
)


@each_mistake
def test_a_wrong_option_is_named_with_what_is_allowed(
    capsys: pytest.CaptureFixture[str], name: str, text: str, allowed: str
) -> None:
    told = refused(capsys, [*FASTCGI, f"{option(name)}={text}"], {})
    assert f"argument {option(name)}: " in told
    assert allowed in told


@each_mistake
def test_a_wrong_variable_is_named_with_what_is_allowed(
    capsys: pytest.CaptureFixture[str], name: str, text: str, allowed: str
) -> None:
    told = refused(capsys, FASTCGI, {variable(name): text})
    assert f"{variable(name)}: " in told
    assert allowed in told


@pytest.mark.parametrize("gateway", ["fastcgi"])
def test_a_gateway_has_an_address(gateway: str) -> None:
    options = parse([f"--{gateway}", ":9000"], {})
    assert (options.gateway, options.address) == (gateway, ":9000")


@pytest.mark.parametrize("gateway", ["fastcgi"])
def test_a_gateway_is_named_by_a_variable(gateway: str) -> None:
    options = parse([], {variable(gateway): ":9000"})
    assert (options.gateway, options.address) == (gateway, ":9000")


def test_an_option_s_address_wins_over_the_variable_s() -> None:
    assert parse(["--fastcgi", ":80"], {"NATIVECGI_FASTCGI": ":9000"}).address == ":80"


@pytest.mark.parametrize("arguments", [["--fastcgi"], ["--fastcgi", "--spare", "1"]])
def test_without_an_address_the_socket_is_inherited(arguments: list[str]) -> None:
    assert parse(arguments, {}).address is None


def test_an_empty_variable_says_that_the_socket_is_inherited() -> None:
    assert parse([], {"NATIVECGI_FASTCGI": ""}).address is None


def test_a_gateway_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--fastcgi is needed" in refused(capsys, [], {})


@pytest.mark.parametrize("argument", ["--proc=3", "--workers=3", "more"])
def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str], argument: str) -> None:
    assert argument in refused(capsys, ["--spare=1", *FASTCGI, argument], {})


def test_help_explains_all_options_and_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        parse(["--help"], {})
    assert exit.value.code == 0
    told = capsys.readouterr().out
    for name in (*OTHERS, "fastcgi"):
        assert option(name) in told
        assert variable(name) in told
