"""Which files and packages of an installed package are data; programs that have them are built."""

from pathlib import Path

import pytest

from nativecgi_build.nuitka_plugins.data import data_files, data_packages


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "",
        "cart.py": "",
        "prices.json": "{}",
        "static/shop.css": "",
        "locale/de/shop.po": "",
        "locale/de/shop.mo": "",
        "static/.hidden": "",
        "templates/__init__.py": '"""Pages."""',
        "templates/page.html": "",
        "templates/mail/__init__.py": "",
        "templates/mail/order.txt": "",
        "admin/__init__.py": "",
        "admin/views.py": "",
        "admin/admin.css": "",
        "forms/__init__.py": "import shop.cart",
        "forms/forms.css": "",
        "empty/__init__.py": "",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def names(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in data_files(folder)]


def test_data_of_a_package_is_what_is_no_code_and_not_in_another_package(shop: Path) -> None:
    assert names(shop) == ["locale/de/shop.mo", "prices.json", "static/shop.css"]
    assert names(shop / "templates") == ["page.html"]


def test_a_package_of_data_has_no_module_and_imports_none(shop: Path) -> None:
    assert data_packages(shop) == ["templates"]
    assert data_packages(shop / "templates") == ["mail"]
    assert data_packages(shop / "admin") == []
