"""How books are edited in the admin."""

from django.contrib import admin

from bookshelf.models import Book


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    """A table of them, to be searched and filtered."""

    list_display = ("title", "author", "read_on")
    list_filter = ("read_on",)
    search_fields = ("title", "author")
