"""What the review is made of, and where each part is."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from ...review.target import CANDIDATES, SECOND
from ..annotate.blind import BlindPanel
from ..annotate.panel import AnnotatePanel
from ..desk import Desk
from .browser import Browser
from .empty import Empty
from .queue_panel import TALL, QueuePanel
from .review_keys import ReviewKeys
from .reviewing import Reviewing
from .second_look import SecondLook
from .threshold_offer import OfferBar
from .thumbnails import Thumbnails

TABS: tuple[str, ...] = ("Candidates", "Second look", "Annotate", "Blind first")
LISTS = (CANDIDATES, SECOND)
"""The first tabs are lists of candidates; the target is one of the list in front."""


class Pages(QStackedWidget):
    """Pages that ask for the least height they can do with, not for what their wrapped labels would like best."""

    def hasHeightForWidth(self) -> bool:
        """No: a scroll area would keep all that height, and cut the gallery off below it."""
        return False


class Parts(QWidget):
    """Tabs on top: nothing that is shown below moves them. All pages are as high as the highest.

    Parameters
    ----------
    desk : Desk
    reviewing : Reviewing
    thumbnails : Thumbnails
    keys : ReviewKeys

    Attributes
    ----------
    tabs : QTabBar
    pages : QStackedWidget
        The target above its lists; what to do where there is none; marking by hand; blind reading.
    lists : QStackedWidget
        Candidates, and what the settings leave out.
    """

    def __init__(self, desk: Desk, reviewing: Reviewing, thumbnails: Thumbnails, keys: ReviewKeys) -> None:
        super().__init__()
        self.panel = QueuePanel(reviewing, thumbnails, keys)
        self.browser = Browser(reviewing, thumbnails)
        self.second = SecondLook(reviewing, thumbnails)
        self.annotate, self.blind = AnnotatePanel(desk), BlindPanel(desk)
        self.empty = Empty()
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for title in TABS:
            self.tabs.addTab(title)
        self.lists, self.pages = QStackedWidget(), Pages()
        self.lists.addWidget(self.browser)
        self.lists.addWidget(self.second)
        working = QWidget()
        inner = QVBoxLayout(working)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(3)
        inner.addWidget(self.panel)
        inner.addWidget(self.lists, 1)
        self.offer = OfferBar()  # below: what lies above does not move when it comes
        inner.addWidget(self.offer)
        for page in (working, self.empty, _scrolled(self.annotate), _scrolled(self.blind)):
            self.pages.addWidget(page)
        self.setSizePolicy(*TALL)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.tabs)
        column.addWidget(self.pages, 1)


def _scrolled(part: QWidget) -> QScrollArea:
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(part)
    return scroll
