#!/usr/bin/python3
# -*- coding: utf-8 -*-
# /// script
# dependencies = ["django==5.2.8"]
# [tool.nativecgi]
# try = ["/?name=Ann"]
# ///
import os, sys
from wsgiref.handlers import CGIHandler

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "lib"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shelf.settings")

from django.core.wsgi import get_wsgi_application

CGIHandler().run(get_wsgi_application())
