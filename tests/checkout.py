"""This checkout as a project: where its builds keep their work."""

from pathlib import Path

from nativecgi_build.settings import Settings, settings_of

ROOT = Path(__file__).resolve().parent.parent
SETTINGS: Settings = settings_of(ROOT)
WORK = SETTINGS.kept / "apps"
