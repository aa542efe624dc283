"""The web pages. A page is a module with a ``router`` (:func:`~calcinosis.service.pages.shell.page_router`), listed here."""

from calcinosis.service.pages import files, home, knowledge

routers = [files.router, home.router, knowledge.router]

__all__ = ["routers"]
