"""Requests, answers and what they are made of: no file here knows a process."""
