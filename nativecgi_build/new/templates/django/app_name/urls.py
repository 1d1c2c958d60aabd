"""Which page is where."""

from django.urls import path

from app_name import views

urlpatterns = [
    path("", views.hello, name="hello"),
    path("<str:name>", views.hello, name="hello"),
]
