"""What programs do with modules that they import where they use them."""

from collections.abc import Callable


def foreign_functions() -> object:
    import ctypes

    return ctypes.CDLL(None).abs(-3)


def mock() -> object:
    import unittest.mock

    with unittest.mock.patch("os.getcwd", return_value="elsewhere"):
        import os

        return os.getcwd()


def resources() -> object:
    from importlib.resources import files

    return files("late").joinpath("data.txt").read_text()


def package_data() -> object:
    import pkgutil

    return (pkgutil.get_data("late", "data.txt") or b"").decode()


def metadata() -> object:
    import importlib.metadata

    return importlib.metadata.version("jinja2")


def entry_points() -> object:
    from importlib.metadata import entry_points

    return sorted(point.name for point in entry_points(group="babel.extractors"))


def modules_of_a_package() -> object:
    import pkgutil

    import jinja2

    # Those that nothing imports are not in the program.
    return "sandbox" in [found.name for found in pkgutil.iter_modules(jinja2.__path__)]


def template() -> object:
    import jinja2

    return jinja2.Template("Hello {{ name|e }}").render(name="<Ann>")


def yaml_in_c() -> object:
    import yaml

    return yaml.load("a: [1, 2]", yaml.CSafeLoader)


def threads() -> object:
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(abs, [-1, -2]))


def event_loop() -> object:
    import asyncio

    return asyncio.run(asyncio.sleep(0, 5))


def time_zone() -> object:
    import datetime
    import zoneinfo

    return str(datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")))


def database() -> object:
    import sqlite3

    return sqlite3.connect(":memory:").execute("select 1 + 1").fetchone()


def decimals() -> object:
    import decimal

    return str(decimal.Decimal(1) / 3)


def site_packages() -> object:
    import site

    return isinstance(site.getsitepackages(), list)


def where_code_is() -> object:
    """Whether code says that it is in the file that its module names, as some libraries expect."""
    import colorsys

    return colorsys.rgb_to_hsv.__code__.co_filename == colorsys.__file__


def source() -> object:
    import inspect

    return inspect.getsource(source)


USES: dict[str, Callable[[], object]] = {
    use.__name__: use
    for use in (
        foreign_functions,
        mock,
        resources,
        package_data,
        metadata,
        entry_points,
        modules_of_a_package,
        template,
        yaml_in_c,
        threads,
        event_loop,
        time_zone,
        database,
        decimals,
        site_packages,
        where_code_is,
        source,
    )
}
