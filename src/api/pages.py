"""The few pages that browsers are shown by the API itself."""

from html import escape

from sanic import HTTPResponse


def page(title: str, text: str, *, status: int = 200, link: tuple[str, str] | None = None) -> HTTPResponse:
    """A page with one sentence.

    Args:
        title: its heading.
        text: the sentence; may hold anything.
        status: of the answer.
        link: a word and where it leads, relative to the page.
    """
    leading = f'<p><a href="{escape(link[1])}">{escape(link[0])}</a></p>' if link else ""
    body = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(text)}</p>{leading}</body></html>"
    )
    return HTTPResponse(body, status=status, content_type="text/html; charset=utf-8")
