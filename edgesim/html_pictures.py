"""Pictures inside an HTML page, so that the page needs no other file."""

from __future__ import annotations

import base64
import io
from html import escape

from PIL import Image


def picture_tag(image: Image.Image | None, description: str, side: int) -> str:
    """Return an `<img>` that holds an RGB picture as JPEG.

    Args:
        image: the picture; with None the tag shows the description alone.
        description: read out in place of the picture.
        side: pixels of its longer side at most.
    """
    if image is None:
        return f'<img alt="{escape(description)}: cannot be read">'
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=88)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{escape(description)}" src="data:image/jpeg;base64,{data}">'
