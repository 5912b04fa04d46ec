"""Photographs that scikit-image and scikit-learn ship in their packages: real images without a download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edgesim.errors import missing_dependency

# Folders are found without importing the packages, which would cost seconds.
_PHOTOS = {
    "skimage": (
        "data",
        (
            "astronaut.png",
            "brick.png",
            "camera.png",
            "cell.png",
            "chelsea.png",
            "coffee.png",
            "coins.png",
            "grass.png",
            "gravel.png",
            "hubble_deep_field.jpg",
            "ihc.png",
            "moon.png",
            "motorcycle_left.png",
            "page.png",
            "retina.jpg",
            "rocket.jpg",
        ),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}


def sample_photos(purpose: str) -> list[Path]:
    """Return the paths of the sample photographs, sorted by file name.

    Photographs that an installed version no longer ships are left out. Raises `MissingDependencyError` when
    a package is not installed; `purpose` is what the message says needs it.
    """
    found: list[Path] = []
    for package, (folder, names) in _PHOTOS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise missing_dependency(ModuleNotFoundError(name=package), purpose)
        root = Path(spec.origin).parent / folder
        found += [root / name for name in names if (root / name).is_file()]
    return sorted(found, key=lambda path: path.name)
