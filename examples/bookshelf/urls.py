"""Which page is where."""

from django.contrib import admin
from django.urls import path

from bookshelf import views

urlpatterns = [
    path("", views.shelf, name="shelf"),
    path("books/<int:number>/", views.book, name="book"),
    path("admin/", admin.site.urls),
]
