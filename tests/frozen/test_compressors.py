"""shutil, imported without the compressors that it looks for, does all that it does otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest

IMPORT = "import sys; from nativecgi.frozen.compressors import import_shutil; "
FORMATS = "print(shutil.get_archive_formats(), shutil.get_unpack_formats())"


def said(source: str, folder: Path) -> str:
    """What plain Python prints."""
    command = [sys.executable, "-c", source]
    return subprocess.check_output(command, cwd=folder, text=True).strip()


def test_the_compressors_are_not_imported(tmp_path: Path) -> None:
    imported = "print({'shutil', 'bz2', 'lzma', '_bz2', '_lzma'} & sys.modules.keys())"
    assert said(f"{IMPORT}import_shutil(); {imported}", tmp_path) == "{'shutil'}"


@pytest.mark.parametrize("before", ["", "sys.modules['_lzma'] = None; "])
def test_it_knows_the_formats_that_this_python_has(tmp_path: Path, before: str) -> None:
    usual = said(f"import sys; {before}import shutil; {FORMATS}", tmp_path)
    assert said(f"{IMPORT}{before}import_shutil(); import shutil; {FORMATS}", tmp_path) == usual


def test_it_makes_an_archive(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    make = "import shutil; print(shutil.make_archive('page', 'xztar', 'page'))"
    assert said(f"{IMPORT}import_shutil(); {make}", tmp_path).endswith("page.tar.xz")


def test_a_compressor_that_is_imported_stays_so(tmp_path: Path) -> None:
    use = "import bz2; import_shutil(); print(bz2 is sys.modules['bz2'])"
    assert said(f"{IMPORT}{use}", tmp_path) == "True"
