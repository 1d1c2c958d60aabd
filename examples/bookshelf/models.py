"""The tables of the database."""

from django.db import models


class Book(models.Model):
    """A book that was read."""

    title = models.CharField(max_length=200)
    author = models.CharField(max_length=200)
    read_on = models.DateField(null=True, blank=True)

    class Meta:
        """The last one first."""

        ordering = ("-pk",)

    def __str__(self) -> str:
        """As the admin names it."""
        return f"{self.author}: {self.title}"
