import os
import sys

from django.http import JsonResponse
from django.shortcuts import render

from .models import Book


def home(request):
    return render(request, "home.html", {"name": request.GET.get("name", "nobody")})


def books(request):
    return JsonResponse({"books": [book.title for book in Book.objects.order_by("title")]})


def where(request):
    main = sys.modules["__main__"]
    return JsonResponse({
        "settings": os.environ["DJANGO_SETTINGS_MODULE"],
        "beside": main.here == os.path.dirname(os.path.abspath(main.__file__)) == os.getcwd(),
        "path": sys.path[0] == os.path.join(main.here, "lib"),
    })
