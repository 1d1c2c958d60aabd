"""Calendars and address books on the web."""
