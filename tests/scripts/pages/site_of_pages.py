from importlib import import_module

from flask import Flask, redirect, render_template, request, url_for

app = Flask(__name__)


@app.route("/")
def home():
    return redirect(url_for("page", slug="start"))


@app.route("/name", methods=["POST"])
def name():
    return "%s %s" % (request.form["name"], request.files["file"].filename)


@app.route("/fail")
def fail():
    raise RuntimeError("a page fails")


@app.route("/<slug>")
def page(slug):
    extension = import_module("extension")
    return render_template("page.html", slug=extension.titled(slug))
