from django.urls import path
from shelf.books import views

urlpatterns = [path("", views.home), path("books/", views.books), path("where/", views.where)]
