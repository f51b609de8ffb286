"""How image files were read for training, as source that needs Pillow when it is called."""

from __future__ import annotations

import textwrap

from ablate.study.data import DataTable

UPRIGHT = "image = ImageOps.exif_transpose(image)"
GREY = 'image = image.convert("L").convert("RGB")'
FITS = {
    "crop": """\
side = min(image.size)
left, top = (image.width - side) // 2, (image.height - side) // 2
box = left, top, left + side, top + side
image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR, box=box)
""",
    "pad": """\
size = [max(1, round(side / max(image.size) * IMAGE_SIZE)) for side in image.size]
inside = image.resize(size, Image.Resampling.BILINEAR)
image = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE))
image.paste(inside, [round((IMAGE_SIZE - side) / 2) for side in size])
""",
    "squash": "image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)\n",
}
"""By `data.fit`, what `ablate.pixels.geometry` does with an image that is not yet a square of that size."""
BODY = """\
if "transparency" in image.info:
    image = image.convert("RGBA")
image = image.convert("RGB")
<GREY>
if image.size != (IMAGE_SIZE, IMAGE_SIZE):
<FIT>
data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
return data.reshape(1, IMAGE_SIZE, IMAGE_SIZE, 3).permute(0, 3, 1, 2)
"""


def reading_source(data: DataTable) -> str:
    """The body of a function that makes an image of Pillow, `image`, what the network was shown: a tensor
    (1, 3, IMAGE_SIZE, IMAGE_SIZE), uint8.
    """
    grey = GREY if data.channels == 1 else ""
    fit = textwrap.indent(FITS[data.fit].rstrip(), "    ")
    body = BODY.replace("<GREY>\n", f"{grey}\n" if grey else "").replace("<FIT>", fit)
    upright = data.orientation == "exif"
    imports = "from PIL import Image, ImageOps" if upright else "from PIL import Image"
    return textwrap.indent(
        "\n".join([imports, "", *([UPRIGHT] if upright else []), body.rstrip()]), "    "
    )
