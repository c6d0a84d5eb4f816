"""Pictures: opened first, as a broken one ends a conversation, and made no larger than models take."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageFile, UnidentifiedImageError

from .document import Document, UnreadableError

LONGEST_EDGE = 1568
LARGEST = 3_500_000
MOST_PIXELS = 40_000_000
_OPENED = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "AVIF")
_SENT_AS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)


def read_image(body: bytes, kind: str) -> Document:
    """Raises UnreadableError for one that is broken or larger than MOST_PIXELS."""
    try:
        Image.open(io.BytesIO(body), formats=_OPENED).verify()
        picture = Image.open(io.BytesIO(body), formats=_OPENED)
        width, height = picture.size
        form = picture.format or ""
        if max(width, height) <= LONGEST_EDGE and len(body) <= LARGEST and form in _SENT_AS:
            picture.load()
            return shown(body, _SENT_AS[form], (width, height), (width, height))
        picture.draft("RGB", (LONGEST_EDGE, LONGEST_EDGE))
        picture.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
        data, sent = encoded(picture, form)
        return shown(data, sent, (width, height), picture.size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError("The image has too many pixels to open.") from error
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        IndexError,
        TypeError,
        OverflowError,
        EOFError,
    ) as error:
        raise UnreadableError(
            f"The image ({kind}, {len(body)} bytes) is broken or of a form that cannot be shown."
        ) from error


def encoded(picture: Image.Image, form: str) -> tuple[bytes, str]:
    out = io.BytesIO()
    if form == "JPEG":
        picture.convert("RGB").save(out, "JPEG", quality=85)
        return out.getvalue(), "image/jpeg"
    plain = picture if picture.mode in ("1", "L", "P", "RGB", "RGBA") else picture.convert("RGBA")
    plain.save(out, "PNG")
    if len(out.getvalue()) > LARGEST:
        out = io.BytesIO()
        picture.convert("RGB").save(out, "JPEG", quality=85)
        return out.getvalue(), "image/jpeg"
    return out.getvalue(), "image/png"


def shown(data: bytes, kind: str, before: tuple[int, int], after: tuple[int, int]) -> Document:
    facts = {"image_type": kind, "width": str(before[0]), "height": str(before[1])}
    notes = (
        []
        if before == after
        else [f"Scaled from {before[0]} x {before[1]} to {after[0]} x {after[1]} pixels."]
    )
    return Document("", None, "image", facts, notes=notes, image=data)
