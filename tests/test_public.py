"""What an app may import, and from where: these names stay."""

from importlib import import_module

import pytest

PUBLIC = {
    "freezer": "CannotFreeze FreezerError Unsupported WouldBeLost freeze require_support",
    "nativecgi": "Handler Request Response after_thaw before_freeze from_wsgi run text",
    "nativecgi.asgi": "from_asgi",
    "nativecgi.freezepoint": "reach",
    "nativecgi.testing": "Answer Client",
    "nativecgi.websocket": "BinaryWebSocket WebSocket run_websocket upgrade_required",
    "nativecgi.wsgi": "from_wsgi",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_can_be_imported_from_where_they_were(module: str) -> None:
    names = dir(import_module(module))
    assert [name for name in PUBLIC[module].split() if name not in names] == []
