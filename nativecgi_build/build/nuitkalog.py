"""Why a compilation failed: the lines of Nuitka's log that say so."""

import re

# In the order of how much they explain: Nuitka reports a C compiler's failure as its own, too.
_REASONS = (
    re.compile(r":\d+: (?:fatal )?error: |: undefined reference to |\bcannot find -l\w|^ld: "),
    re.compile(r"^(?:Nuitka\S*:)?(?:FATAL|ERROR): ?|^Error, |^\S+: error: |: error: "),
    re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception)\b"),  # the last line of a traceback
)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_MOST = 12  # lines


def reason(log: str) -> str:
    """The lines of a log that name the cause of a failure; its last lines where none does."""
    lines = [line.rstrip() for line in _COLOR.sub("", log).splitlines() if line.strip()]
    for pattern in _REASONS:
        if found := [index for index, line in enumerate(lines) if pattern.search(line)]:
            told = dict.fromkeys(it for index in found for it in _statement(lines, index))
            return "\n".join([*told][:_MOST])
    return "\n".join(lines[-_MOST:])


def _statement(lines: list[str], start: int) -> list[str]:
    """A line, and those that Nuitka broke off it, which are indented or name their source."""
    end = start + 1
    while end < len(lines) and lines[end].startswith(("    ", "FATAL:     ", "FATAL:   ")):
        end += 1
    return lines[start:end]
