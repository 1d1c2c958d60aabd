"""The pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def hello(request: HttpRequest, name: str = "world") -> HttpResponse:
    return render(request, "app_name/hello.html", {"name": name})
