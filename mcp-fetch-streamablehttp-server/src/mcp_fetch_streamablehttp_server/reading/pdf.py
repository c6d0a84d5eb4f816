"""PDF as text, page by page."""

from __future__ import annotations

import io
import logging

import pypdf
from pypdf.errors import PyPdfError

from .article import TooSlowError, seconds
from .document import Document, UnreadableError

SECONDS = 1.0
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def read_pdf(body: bytes, first_page: int) -> Document:
    """The text from `first_page` (from 1) on: as many pages as the time allows. Raises UnreadableError."""
    texts: list[str] = []
    title, pages = None, 0
    try:
        with seconds(SECONDS):
            reader = pypdf.PdfReader(io.BytesIO(body))
            pages = page_count(reader, first_page)
            title = str(reader.metadata.title or "").strip()[:300] or None if reader.metadata else None
            for number in range(first_page, pages + 1):
                text = reader.pages[number - 1].extract_text()
                texts.append(f"## Page {number}\n\n{text.strip()}")
    except TooSlowError as error:
        if not texts:
            raise UnreadableError("The PDF takes too long to read.") from error
    except UnreadableError:
        raise
    except (
        PyPdfError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
        OSError,
    ) as error:
        if not texts:
            raise UnreadableError(f"The PDF is broken: {type(error).__name__}.") from error
    notes = []
    last = first_page + len(texts) - 1
    if last < pages:
        notes.append(
            f"These are pages {first_page} to {last} of {pages}; for more use first_page={last + 1}."
        )
    if not any(text.partition("\n\n")[2] for text in texts):
        notes.append("The PDF holds no text; it may be made of pictures.")
    return Document("\n\n".join(texts), title, "pdf", {"pages": str(pages)}, notes=notes)


def page_count(reader: pypdf.PdfReader, first_page: int) -> int:
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableError("The PDF is locked with a password.")
    pages = len(reader.pages)
    if first_page > pages:
        raise UnreadableError(f"The PDF has {pages} pages, so there is none numbered {first_page}.")
    return pages
