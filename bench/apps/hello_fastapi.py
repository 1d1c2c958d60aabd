"""A page with the name in the path: FastAPI, with a template of Jinja's."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["fastapi==0.165.0", "jinja2==3.1.6"]
# ///

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from jinja2 import DictLoader, Environment

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Hello {{ name }}</title>
<h1>Hello {{ name }}</h1>
<ul>{% for letter in name %}<li>{{ letter }}</li>{% endfor %}</ul>
</html>"""

app = FastAPI()
pages = Environment(loader=DictLoader({"page.html": PAGE}), autoescape=True)
templates = Jinja2Templates(env=pages)


@app.get("/{name}", response_class=HTMLResponse)
async def show(request: Request, name: str) -> HTMLResponse:
    """The page."""
    return templates.TemplateResponse(request, "page.html", {"name": name})


if __name__ == "__main__":
    from nativecgi import run
    from nativecgi.asgi import from_asgi

    run(from_asgi(app), warmup=["/Ann"])
