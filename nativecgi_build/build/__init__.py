"""From an app to a program: rehearse, compile, freeze, try."""
