"""The lineage as one HTML file that needs nothing else: no server, no network, no other file.

What stands in ``assets`` is put together by :func:`render_page`; the page draws, searches and
compares in the browser, from the same document that ``--format=json`` prints.
"""

from nemo_runspec.lineage.page.render import render_page

__all__ = ["render_page"]
