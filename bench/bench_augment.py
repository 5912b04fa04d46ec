"""How fast libraries change small images: 160x160 uint8 in, 128x128 uint8 out, on one core.

    python bench/bench_augment.py [--rounds 20]

The same operations by OpenCV (as edgesim.training uses it), albumentations, kornia (tensors, 64 images at a
time), AugLy (Pillow) and edgesim.training.augment (tensors, 64 at a time). Libraries that are not installed
are skipped: they are no dependencies of edgesim. Timed is processor time, so that other programs disturb
little; libraries run in turn, medians are printed. The result goes to bench/results/augment.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from harness import describe_machine, machine_line, markdown_table, write_result
from numpy.typing import NDArray
from PIL import Image

from edgesim.sample_photos import sample_photos
from edgesim.training.augment import Augment
from edgesim.training.config import AugmentConfig
from edgesim.training.copy_augment import CopyAugment, CopyAugmentConfig

SOURCE, OUTPUT, COUNT = 160, 128, 64
OPERATIONS = ("crop", "rotation", "perspective", "blur", "jpeg", "colour", "overlay")
Pixels = NDArray[np.uint8]
# Changes all images once.
Pass = Callable[[], object]


def opencv(images: Pixels) -> dict[str, Pass]:
    """Return operation -> pass by edgesim.training.copy_augment."""
    augment, rng = CopyAugment(CopyAugmentConfig(), OUTPUT), np.random.default_rng(0)

    def run(kind: str) -> list[Any]:
        return [augment.apply([kind], image, images[0], rng) for image in images]

    passes: dict[str, Pass] = {kind: functools.partial(run, kind) for kind in OPERATIONS}
    return {**passes, "1 to 5 kinds": lambda: augment.batch(images, 0)}


def albumentations(images: Pixels) -> dict[str, Pass]:
    """Return operation -> pass by albumentations 2, the last before its successor's AGPL."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks a server for the newest version
    library = importlib.import_module("albumentations")
    operations = {
        "crop": library.RandomResizedCrop((OUTPUT, OUTPUT), scale=(0.2, 1.0)),
        "rotation": library.Rotate(limit=30, p=1),
        "perspective": library.Perspective(scale=(0.05, 0.2), p=1),
        "blur": library.GaussianBlur(blur_limit=0, sigma_limit=(0.5, 3), p=1),
        "jpeg": library.ImageCompression(quality_range=(5, 60), p=1),
        "colour": library.ColorJitter((0.5, 1.5), (0.5, 1.5), (0.5, 1.5), (-0.125, 0.125), p=1),
    }
    resize = library.Resize(OUTPUT, OUTPUT, interpolation=cv2.INTER_AREA)
    # Light, sharpness and coding after the resize, as everywhere here.
    chains = {
        name: library.Compose([operation, resize] if name in OPERATIONS[:3] else [resize, operation])
        for name, operation in operations.items()
    }

    def run(name: str) -> list[Any]:
        return [chains[name](image=image)["image"] for image in images]

    return {name: functools.partial(run, name) for name in chains}


def kornia(images: Pixels) -> dict[str, Pass]:
    """Return operation -> pass by kornia on one batch."""
    library = importlib.import_module("kornia.augmentation")
    operations = {
        "crop": library.RandomResizedCrop((OUTPUT, OUTPUT), scale=(0.2, 1.0)),
        "rotation": library.RandomRotation(30.0, p=1),
        "perspective": library.RandomPerspective(0.3, p=1),
        "blur": library.RandomGaussianBlur((13, 13), (0.5, 3.0), p=1),
        "jpeg": library.RandomJPEG(jpeg_quality=(5.0, 60.0), p=1),
        "colour": library.ColorJitter(0.5, 0.5, 0.5, 0.125, p=1),
    }
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def small(views: Any) -> Any:
        return torch.nn.functional.interpolate(views, size=(OUTPUT, OUTPUT), mode="bilinear", antialias=True)

    def run(name: str) -> Any:
        views, operation = batch.float() / 255, operations[name]
        views = operation(views) if name in OPERATIONS[:3] else operation(small(views))
        return (small(views) * 255).byte()

    return {name: functools.partial(run, name) for name in operations}


def augly(images: Pixels) -> dict[str, Pass]:
    """Return operation -> pass by AugLy, from and to uint8 arrays.

    Its perspective (1.0.0) calls np.float, which NumPy 1.24 removed.
    """
    library, rng = importlib.import_module("augly.image"), np.random.default_rng(0)
    size = {"width": OUTPUT, "height": OUTPUT}
    small_other = Image.fromarray(images[0]).resize((OUTPUT // 2, OUTPUT // 2))

    def changed(name: str, image: Any) -> Any:
        a, b, c = rng.random(3).tolist()
        if name == "crop":
            return library.crop(image, x1=a / 2, y1=b / 2, x2=a / 2 + 0.5, y2=b / 2 + 0.5)
        if name == "rotation":
            return library.rotate(image, degrees=60 * a - 30)
        if name == "blur":
            return library.blur(image, radius=0.5 + 2.5 * a)
        if name == "jpeg":
            return library.encoding_quality(image, quality=5 + int(55 * a))
        if name == "colour":
            return library.color_jitter(
                image, brightness_factor=0.5 + a, contrast_factor=0.5 + b, saturation_factor=0.5 + c
            )
        return library.overlay_image(
            image, small_other, opacity=0.5 + a / 2, overlay_size=0.4, x_pos=b / 2, y_pos=c / 2
        )

    def view(name: str, image: Any) -> Any:
        if name in OPERATIONS[:3]:
            return library.resize(changed(name, image), **size)
        return changed(name, library.resize(image, **size))

    def run(name: str) -> list[Any]:
        return [np.asarray(view(name, Image.fromarray(image))) for image in images]

    return {name: functools.partial(run, name) for name in OPERATIONS if name != "perspective"}


def tensors(images: Pixels) -> dict[str, Pass]:
    """Return operation -> pass by edgesim.training.augment on one batch; it has no perspective."""
    nothing = {field.name: 0.0 for field in dataclasses.fields(AugmentConfig) if field.type == "float"}
    off = AugmentConfig(**{**nothing, "crop_area_min": 1.0})  # type: ignore[arg-type]
    configs = {
        "crop": dataclasses.replace(off, crop_area_min=0.2),
        "rotation": dataclasses.replace(off, rotation_share=1.0, rotation_degrees=30.0),
        "blur": dataclasses.replace(off, blur_share=2.0),
        "jpeg": dataclasses.replace(off, jpeg_share=1.0),
        "colour": dataclasses.replace(off, colour=0.5),
        "overlay": dataclasses.replace(off, overlay_share=1.0),
        "its defaults": AugmentConfig(),
    }
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    generator = torch.Generator().manual_seed(0)

    def run(config: AugmentConfig) -> Any:
        return (Augment(config, OUTPUT, generator)(batch) * 255).byte()

    return {name: functools.partial(run, config) for name, config in configs.items()}


LIBRARIES: dict[str, tuple[str, Callable[[Pixels], dict[str, Pass]]]] = {
    "OpenCV": ("opencv-python-headless", opencv),
    "albumentations": ("albumentations", albumentations),
    "kornia": ("kornia", kornia),
    "AugLy": ("augly", augly),
    "edgesim.training.augment": ("torch", tensors),
}


def photos() -> Pixels:
    """Return COUNT photographs (COUNT, SOURCE, SOURCE, 3), some of them several times."""
    images = []
    for path in sample_photos("this benchmark"):
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB").resize((SOURCE, SOURCE)), np.uint8))
    return np.stack([images[number % len(images)] for number in range(COUNT)])


def measure(libraries: dict[str, dict[str, Pass]], rounds: int) -> dict[str, dict[str, int]]:
    """Return library -> operation -> images a second of processor time, the median over the rounds."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 2):
        for library, passes in libraries.items():
            for name, run in passes.items():
                start = time.process_time()
                run()
                if number >= 2:
                    seconds.setdefault((library, name), []).append(time.process_time() - start)
    return {
        library: {name: round(COUNT / statistics.median(seconds[library, name])) for name in passes}
        for library, passes in libraries.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    images, made, versions = photos(), {}, {}
    for library, (package, make) in LIBRARIES.items():
        try:
            versions[package] = importlib.metadata.version(package)
            made[library] = make(images)
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            print(f"{library} skipped: {error}; pip install {package}")
    cv2.setNumThreads(1)
    speeds = measure(made, args.rounds)
    machine = describe_machine()
    result = {"machine": machine, "versions": versions, "rounds": args.rounds, "images_per_second": speeds}
    write_result("augment", result)
    print(machine_line(machine), end="\n\n")
    columns = (*OPERATIONS, "1 to 5 kinds", "its defaults")
    rows = [[library, *(f"{of[c]:,}" if c in of else "-" for c in columns)] for library, of in speeds.items()]
    print(markdown_table(["images a second", *columns], rows))


if __name__ == "__main__":
    main()
