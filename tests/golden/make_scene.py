"""Draws scene.jpg, the golden image of tests/test_preprocess.py, and what preprocessing made of it.

Run it again only when `PREPROCESS_VERSION` is raised, and say in CHANGELOG.md why it was.
"""

from pathlib import Path

from PIL import Image, ImageDraw

from edgesim.preprocess import load_pixels

FOLDER = Path(__file__).parent
SIZE = 32


def draw_scene() -> Image.Image:
    """A sky, a hill, a sun and a fence: smooth, round and sharp parts, none of them symmetrical."""
    image = Image.new("RGB", (256, 192))
    draw = ImageDraw.Draw(image)
    for row in range(192):
        draw.line((0, row, 255, row), fill=(40 + row // 2, 110 + row // 2, 230 - row // 3))
    draw.ellipse((170, 20, 225, 75), fill=(250, 220, 90))
    draw.ellipse((-60, 110, 190, 300), fill=(60, 130, 50))
    for x in range(100, 256, 12):
        draw.rectangle((x, 140, x + 5, 185), fill=(120, 70, 40))
    return image


if __name__ == "__main__":
    draw_scene().save(FOLDER / "scene.jpg", quality=90)
    Image.fromarray(load_pixels(FOLDER / "scene.jpg", SIZE)).save(FOLDER / "scene_32.png")
