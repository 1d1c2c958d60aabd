"""Where links to static files lead."""

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix


class Storage(StaticFilesStorage):
    """Links below the program's own path. Django's would keep that of the build, which has none."""

    @property
    def base_url(self) -> str:
        """As it is for this request."""
        return f"{get_script_prefix()}static/"
