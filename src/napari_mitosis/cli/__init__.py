"""The command line: ``napari-mitosis``. Each group of commands has its own module."""

from .app import app, main

__all__ = ["app", "main"]
