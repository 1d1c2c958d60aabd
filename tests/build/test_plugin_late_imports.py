"""The plugin that prepares modules for late imports; test_late_imports.py tests what it does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_nuitka_that_imports_by_other_means_is_refused() -> None:
    """In a process of its own, as importing Nuitka has effects."""
    code = """if True:
        from types import SimpleNamespace
        from nativecgi_build.nuitka_plugins.late_imports import LateImports
        module = SimpleNamespace(isCompiledPythonModule=lambda: False)
        entry = {"template": "struct Nuitka_MetaPathBasedLoaderEntry entry = {IMPORT_OTHERWISE};"}
        LateImports().onMetaPathLoaderEntryTemplate(module, entry)
    """
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "imports modules by something else than IMPORT_EMBEDDED_MODULE_ENTRY" in (
        result.stdout + result.stderr
    )
