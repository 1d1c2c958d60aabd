"""Brings docs/contract.md up to date."""

from tests.contract.cases import CASES
from tests.contract.page import PAGE, with_table

PAGE.write_text(with_table(PAGE.read_text(), CASES))
