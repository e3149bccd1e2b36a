"""How the parts of the window look, said once."""

from __future__ import annotations

STYLE = """
QLabel#faint { color: #9aa3b2; }
QLabel#section { color: #9aa3b2; font-weight: bold; padding-top: 2px; }
QLabel#card { background: rgba(127, 127, 127, 28); border-radius: 4px; padding: 5px; }
QWidget#summary { background: rgba(0, 200, 83, 26); border: 1px solid rgba(0, 200, 83, 90); border-radius: 5px; }
QLabel#count { font-size: 26px; font-weight: bold; background: transparent; }
QLabel#density { font-size: 15px; font-weight: bold; background: transparent; }
QPushButton#primary { background: #00813a; color: white; font-weight: bold; padding: 5px 10px; border-radius: 4px; }
QPushButton#primary:hover { background: #009a45; }
QPushButton#primary:disabled { background: rgba(127, 127, 127, 60); color: #8b93a1; }
QToolButton { padding: 3px 7px; border-radius: 3px; }
QToolButton:disabled { background: transparent; color: #5b6270; }
QToolButton:checked:enabled { background: #00813a; color: white; }
QProgressBar { text-align: center; border-radius: 3px; min-height: 16px; max-height: 16px; color: white; }
QProgressBar::chunk { background: #00813a; border-radius: 3px; }
"""
