"""The pages."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from bookshelf.forms import BookForm
from bookshelf.models import Book


def shelf(request: HttpRequest) -> HttpResponse:
    form = BookForm(request.POST or None)
    if form.is_valid():
        book = form.save()
        messages.success(request, f"{book.title} is on the shelf.")
        return redirect("shelf")
    return render(request, "bookshelf/shelf.html", {"books": Book.objects.all(), "form": form})


def book(request: HttpRequest, number: int) -> HttpResponse:
    return render(request, "bookshelf/book.html", {"book": get_object_or_404(Book, pk=number)})
