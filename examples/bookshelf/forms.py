"""What visitors fill in."""

from django import forms

from bookshelf.models import Book


class BookForm(forms.ModelForm):
    """A book, with the browser's own choice of a date."""

    class Meta:
        """As the model has it."""

        model = Book
        fields = ("title", "author", "read_on")
        widgets = {"read_on": forms.DateInput({"type": "date"})}  # noqa: RUF012  # as Django has it
