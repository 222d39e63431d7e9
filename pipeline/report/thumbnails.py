"""Pictures small enough to live inside a page."""

from base64 import b64encode
from io import BytesIO

import numpy as np
import numpy.typing as npt

THUMBNAIL_PIXELS, STILL_PIXELS = 320, 720


def data_uri(content: bytes, media_type: str) -> str:
    """Write bytes as a URI that carries them."""
    return f"data:{media_type};base64,{b64encode(content).decode('ascii')}"


def thumbnail_uri(picture: bytes | npt.NDArray[np.uint8], longest: int = THUMBNAIL_PIXELS) -> str:
    """Scale a picture down to ``longest`` pixels and give it as a JPEG in a data URI.

    A picture is uint8 RGB (height, width, 3), or the bytes of an image file.
    """
    from PIL import Image

    source = BytesIO(picture) if isinstance(picture, bytes) else None
    image = Image.open(source) if source is not None else Image.fromarray(np.asarray(picture))
    image = image.convert("RGB")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    stream = BytesIO()
    image.save(stream, format="JPEG", quality=85, optimize=True)
    return data_uri(stream.getvalue(), "image/jpeg")
