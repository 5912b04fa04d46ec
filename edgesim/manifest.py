"""The manifest of a bundle: read, checked to the last byte, and sealed.

`sha256` in it is the digest of all the rest of it: a changed manifest is noticed without another file.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from edgesim.errors import BundleError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
# What the manifest must hold, beside its format version and digest.
_CONTENT = {
    "spec": dict,
    "encoder_id": str,
    "models": dict,
    "recipe": dict,
    "gates": list,
    "made_by": dict,
    "files": dict,
}
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """Return what a manifest holds, without its digest, and the SHA-256 of its bytes.

    Raises:
        BundleError: it cannot be read, is damaged, of another format version, or not one that edgesim writes.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path.parent}: not a bundle, {MANIFEST} cannot be read ({error.strerror}); "
            "make one with: edgesim export"
        ) from error
    try:
        manifest: dict[str, Any] = json.loads(raw)
        del manifest["sha256"]
        version = manifest["format_version"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: changed or damaged; copy the bundle again") from error
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format {version}, this edgesim reads format {FORMAT_VERSION}; "
            "export it again or install the matching edgesim"
        )
    # The text is made again, digest and all, so that no byte of it can change unseen.
    if raw != manifest_text(manifest):
        raise BundleError(f"{path}: changed or damaged; copy the bundle again")
    _check_content(path, manifest)
    return manifest, hashlib.sha256(raw).hexdigest()


def _check_content(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse a manifest that edgesim does not write: whoever makes a hostile one can seal it as well."""
    for key, kind in _CONTENT.items():
        if not isinstance(manifest.get(key), kind):
            raise BundleError(f"{path}: {key!r} is missing or of the wrong type; export the bundle again")
    for name in manifest["files"]:
        # Files of other folders are none of a bundle's business.
        if not _FILE_NAME.fullmatch(name):
            raise BundleError(f"{path}: expected names of files in the bundle, got {name!r}; do not use it")
    for name, facts in manifest["models"].items():
        # Files that are not listed are not checked.
        if not isinstance(facts, dict) or facts.get("file") not in list(manifest["files"]):
            raise BundleError(f"{path}: names no file for its {name} model; export the bundle again")


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def manifest_text(manifest: dict[str, Any]) -> bytes:
    """Return the bytes of the file: the manifest with its digest."""
    sealed = {**manifest, "sha256": _digest(manifest)}
    return (json.dumps(sealed, indent=2, sort_keys=True) + "\n").encode()
