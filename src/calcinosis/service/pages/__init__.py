"""The web pages. A page is a module with a ``router`` (:func:`~calcinosis.service.pages.shell.page_router`), listed here."""

from calcinosis.service.pages import assess, cohort, evidence, files, home, knowledge

routers = [files.router, home.router, assess.router, evidence.router, knowledge.router, cohort.router]

__all__ = ["routers"]
