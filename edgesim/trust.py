"""Which bundles this device accepts: its configuration, `/etc/edgesim/device.toml`.

    require_signed_bundles = true
    trusted_keys = "keys"            # a folder of *.pub files, or one file; relative to the configuration

Without the file every bundle is accepted. A file that cannot be read or understood lets nothing pass.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.errors import UsageError

# `edgesim doctor` comes here where NumPy may not work.
if TYPE_CHECKING:
    from edgesim.bundle import Bundle
    from edgesim.signing_keys import PublicKey

CONFIGURATION = Path("/etc/edgesim/device.toml")
# Names another file. Whoever sets a program's environment runs it, and could as well run another program.
VARIABLE = "EDGESIM_CONFIG"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceConfiguration:
    """What the owner of a device has settled.

    Attributes:
        require_signed_bundles: refuse bundles that no trusted key has signed. The built-in encoders are part
            of the installed package, and are trusted as it is.
        trusted_keys: a folder of public keys, `*.pub`, or the file of one; relative to the configuration.
    """

    require_signed_bundles: bool = False
    trusted_keys: str = "keys"


def configuration_file() -> Path | None:
    """Return the file that holds the configuration of this device, None if there is none.

    Raises `UsageError` if nobody can tell, or if the file that `EDGESIM_CONFIG` names does not exist.
    """
    named = os.environ.get(VARIABLE)
    path = CONFIGURATION if named is None else Path(named)
    try:
        # Of the link, where it is one: a link to nowhere is a fault, not the lack of a configuration.
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        if named is None:
            return None
        raise UsageError(f"{VARIABLE} names {named!r}, which does not exist; correct or unset it") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    return path


def read_configuration() -> DeviceConfiguration:
    """Return the configuration of this device, with an absolute `trusted_keys`.

    Raises:
        UsageError: it cannot be read, is not TOML, has an unknown or mistyped key, or the file that
            `EDGESIM_CONFIG` names does not exist.
    """
    path = configuration_file()
    if path is None:
        return DeviceConfiguration()
    # Imported where there is a file: a device without one pays nothing for it.
    from edgesim.settings import build, read_toml

    configuration = build(DeviceConfiguration, read_toml(path), str(path))
    keys = path.absolute().parent / configuration.trusted_keys
    return dataclasses.replace(configuration, trusted_keys=str(keys))


def required_keys() -> list[PublicKey] | None:
    """Return the keys one of which must have signed a bundle, None where no signature is required.

    Raises:
        UsageError: the configuration or a key cannot be read, or there is no key.
        MissingDependencyError: a signature is required, and the package `cryptography` is not installed.
    """
    configuration = read_configuration()
    if not configuration.require_signed_bundles:
        return None
    from edgesim.signing_keys import read_public_keys

    return read_public_keys(Path(configuration.trusted_keys))


def check_trusted(bundle: Bundle) -> None:
    """Refuse a loaded bundle that the configuration of this device does not accept.

    Raises:
        BundleError: signed bundles are required, and it is not signed by a trusted key.
        UsageError, MissingDependencyError: see `required_keys`.
    """
    keys = required_keys()
    if keys is not None:
        from edgesim.signing import check_signature

        check_signature(bundle, keys)
