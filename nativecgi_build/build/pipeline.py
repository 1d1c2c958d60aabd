"""A build: rehearse, compile, freeze, try; what has not changed is not made again."""

import fcntl
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from nativecgi_build import sources
from nativecgi_build.build.app import SCRIPT_TRIAL, TRIAL, App, copy_script, own_files, program_name
from nativecgi_build.build.compile import compile_app, is_current
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.freeze import freeze, freezer_hash, neutral_copy, same_copy, seed_of
from nativecgi_build.build.gather import LIBRARY, command, folder_of, gather
from nativecgi_build.build.learn import freeze_with
from nativecgi_build.build.packing import LIST, pack
from nativecgi_build.build.placing import place_file, place_folder
from nativecgi_build.build.records import (
    Built,
    Compiled,
    Rehearsed,
    Wanted,
    hashed,
    read_record,
    write_record,
)
from nativecgi_build.build.rehearse import rehearse
from nativecgi_build.build.trial import others_of, try_program
from nativecgi_build.environments.environment import Environment, environment
from nativecgi_build.environments.metadata import EnvironmentFailed
from nativecgi_build.explain import contributors
from nativecgi_build.sources import Digests

ATTEMPTS = 3  # at compiling what somebody is writing
COMPILED = "compiled.json"  # the record of a compilation, in an app's folder
FAST = "fast"  # the folder in an app's folder of what is not compiled
MAP = "memory.map"  # the freezer's, there as well
DONE, FAILED = "done", "failed"


def build(app: App, wanted: Wanted, *, jobs: int, report: Callable[[str], None]) -> Built:
    """Bring one app up to date; raises BuildError with its own traceback or reason."""
    folder = wanted.settings.work(app.name, app.origin)
    with _locked(folder):
        work = folder / FAST if wanted.fast else folder
        work.mkdir(exist_ok=True)
        packages = _environment(app, folder, report)
        built = _build(app, work, wanted, packages, jobs, report)
        report(DONE)
        if wanted.debug is not None:
            side_file = _side_file(app, work)
            place_file(side_file, wanted.debug / side_file.name)
        return built


def _side_file(app: App, work: Path) -> Path:
    """What gdb reads beside a core file of the frozen program; every build keeps its own."""
    return work / f"{app.name}.debug"


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Keep another build of the same app waiting."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(
    app: App,
    work: Path,
    wanted: Wanted,
    packages: Environment,
    jobs: int,
    report: Callable[[str], None],
) -> Built:
    record = work / COMPILED
    compiled = read_record(record, Compiled)
    if app.is_foreign:
        copy_script(app, work, compiled.seen if compiled else None)
    is_kept = compiled is not None and is_current(compiled, app, work, wanted, packages)
    if compiled is None or not is_kept or (wanted.freeze and sources.changed(compiled.read)):
        kept = compiled if is_kept else None
        known = [] if compiled is None else [*compiled.sources, *compiled.read]
        compiled = _renewed(app, work, wanted, packages, jobs, report, kept, known)
        write_record(record, compiled)

    seed = None if wanted.secret is None else seed_of(compiled, wanted.secret)
    compilation = [compiled.sources, compiled.tools, compiled.environment, compiled.options]
    compilation += [compiled.trial, compiled.read, compiled.learned]
    frozen_with = [compiled.others, freezer_hash(), seed, wanted.native]
    made_from = hashed(msgspec.json.encode([compilation, frozen_with]))
    if wanted.fast:
        program = folder_of(app, work) / program_name(app)
    else:
        program = work / f"{app.main(work).name.removesuffix('.py')}.dist" / program_name(app)
    frozen, side_file = work / f"{app.name}.frozen", _side_file(app, work)
    result, made = (frozen, (frozen, side_file)) if wanted.freeze else (program, (program,))
    # A script with a warm-up may be asked for a page of it.
    usual = TRIAL if "REQUEST_METHOD" in compiled.trial else app.trial
    trial = usual | compiled.trial
    record = work / ("frozen.json" if wanted.freeze else "plain.json")
    built = read_record(record, Built)
    is_there = all(map(Path.exists, made))
    if built is None or wanted.again or not is_there or not _is_same(built, made_from):
        record.unlink(missing_ok=True)
        parts: dict[str, int] = {}
        libraries: Digests = {}
        warnings: list[str] = []
        notes: list[str] = []
        if wanted.freeze:
            report("freezing")
            baseline = sources.Baseline(built.libraries if built else (), work)
            copied = (
                neutral_copy(program) if seed is None else same_copy(program, seed, warnings.append)
            )
            with copied as copy:
                pack(copy.parent, work / LIST)
                library = copy.with_name(LIBRARY) if wanted.fast else None
                freeze_copy = partial(
                    freeze,
                    command(app, copy.parent) if wanted.fast else [str(copy)],
                    frozen,
                    hint=app.hint,
                    trial=trial,
                    others=others_of(app, trial, compiled.others),
                    forget=copy.parent,
                    debug=side_file,
                    map=work / MAP,
                    seed=seed,
                    native=wanted.native,
                    seconds=wanted.seconds,
                    preload=library if library and library.exists() else None,
                )
                notes = freeze_with(compiled.learned, copy.parent, freeze_copy)
                parts = contributors(work / MAP, copy.parent, frozen.stat().st_size)
                libraries = baseline.recorded(_libraries(work / MAP, copy.parent))
        report("trying")
        milliseconds, answered = try_program(result, trial)
        status = "not asked" if usual == SCRIPT_TRIAL else answered
        for warning in warnings:
            print(f"{app.name}: {warning}", file=sys.stderr)
        built = Built(
            "" if warnings else made_from,  # the next build makes it again
            wanted.freeze,
            compiled.seconds,
            milliseconds,
            status,
            result.stat().st_size,
            parts,
            libraries,
            [*compiled.notes, *notes],
        )
        write_record(record, built)
    if packages.source:
        built.notes = [f"its packages are from {packages.source}", *built.notes]
    place = place_file if wanted.freeze else place_folder
    place(result, wanted.output / app.name)
    return built


def _renewed(
    app: App,
    work: Path,
    wanted: Wanted,
    packages: Environment,
    jobs: int,
    report: Callable[[str], None],
    kept: Compiled | None,
    known: Iterable[Path | str],
) -> Compiled:
    """Rehearse and compile; no more than rehearse where what is `kept` comes out again.

    `known` are the files that are likely to be read. Raises BuildError where some change all the
    time while they are.
    """
    known = {*map(str, known), *map(str, own_files(app))}
    for _attempt in range(ATTEMPTS):
        baseline = sources.Baseline(known, work)
        rehearsed = Rehearsed()
        if wanted.freeze:
            report("rehearsing")
            rehearsed = rehearse(app, work, packages, wanted.seconds)
        if app.is_foreign:
            copy_script(app, work, rehearsed.seen)
        again = (rehearsed.modules, rehearsed.seen)
        if kept is not None and again == (kept.modules, kept.seen):
            compiled = msgspec.structs.replace(kept, trial=rehearsed.trial)
        else:
            (work / COMPILED).unlink(missing_ok=True)  # what it speaks of is about to change
            if wanted.fast:
                report("gathering")
                compiled = gather(app, work, packages, rehearsed)
            else:
                report("compiling")
                compiled = compile_app(app, work, wanted, packages, jobs, rehearsed)
        compiled.learned, compiled.others = rehearsed.learned, rehearsed.others
        compiled.read = baseline.recorded({*rehearsed.read} - compiled.sources.keys())
        before = baseline.recorded(compiled.sources)
        if app.is_foreign and (copy := str(app.main(work))) in before:
            before[copy] = compiled.sources[copy]  # it is nobody's to write but the build's
        if compiled.sources == before:
            return compiled
        changed = [path for path in before if before[path] != compiled.sources[path]]
        report(f"{changed[0]} was changed meanwhile")
        known |= compiled.sources.keys()
        kept = None
        if app.is_foreign:
            copy_script(app, work)
    raise BuildError(
        f"{', '.join(changed)}: changed while it was being compiled, {ATTEMPTS} times: build it "
        "when nobody writes there"
    )


def _is_same(built: Built, made_from: str) -> bool:
    """Whether it is what freezing would make now, but for its addresses."""
    return built.made_from == made_from and not sources.changed(built.libraries)


def _libraries(map_file: Path, folder: Path) -> set[Path]:
    """The files that an image's memory was mapped from, but for those of the program's `folder`."""
    paths = {Path(line.split("\t")[1]) for line in map_file.read_text().splitlines()}
    return {path for path in paths if path.is_absolute() and not path.is_relative_to(folder)}


def _environment(app: App, work: Path, report: Callable[[str], None]) -> Environment:
    try:
        return environment(
            app.source, work / "venv", partial(report, "installing"), root=app.folder
        )
    except EnvironmentFailed as error:
        raise BuildError(str(error)) from None


def build_all(
    apps: list[App], wanted: Wanted, *, jobs: int, show: Callable[[App, str], None]
) -> tuple[dict[str, Built], dict[str, Exception]]:
    """Build the apps, `jobs` at a time; a failure of one keeps no other from being built."""
    workers = min(jobs, len(apps))
    built: dict[str, Built] = {}
    failed: dict[str, Exception] = {}

    def build_one(app: App) -> None:
        try:
            own_jobs = max(1, jobs // workers)
            built[app.name] = build(app, wanted, jobs=own_jobs, report=partial(show, app))
        except Exception as error:  # whatever it is, it keeps no other app from being built
            failed[app.name] = error
            show(app, FAILED)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(build_one, apps))
    return built, failed
