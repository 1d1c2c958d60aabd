"""A FastAPI application."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["fastapi>=0.115,<1"]
# ///

from fastapi import FastAPI

from nativecgi import run
from nativecgi.asgi import from_asgi

app = FastAPI(title="project-name")


@app.get("/")
@app.get("/{name}")
async def hello(name: str = "world") -> dict[str, str]:
    return {"hello": name}


if __name__ == "__main__":
    run(from_asgi(app), warmup=["/"])
