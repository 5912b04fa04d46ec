"""The configuration of a device: what it lets pass, and that a faulty one lets nothing pass."""

import shutil
import sys
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, EdgesimError, MissingDependencyError, UsageError
from edgesim.runtime.embedder import open_bundle
from edgesim.signing import sign_bundle
from edgesim.signing_keys import generate_key, read_private_key
from edgesim.trust import DeviceConfiguration, read_configuration, required_keys
from tests.helpers import run_python

STRICT = "require_signed_bundles = true\n"


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration of this device is looked for; nothing is there yet."""
    monkeypatch.delenv("EDGESIM_CONFIG", raising=False)
    monkeypatch.setattr("edgesim.trust.CONFIGURATION", tmp_path / "etc" / "device.toml")
    (tmp_path / "etc" / "keys").mkdir(parents=True)
    return tmp_path / "etc" / "device.toml"


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A bundle that is not signed."""
    shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_where_it_is() -> None:
    from edgesim import trust

    assert str(trust.CONFIGURATION) == "/etc/edgesim/device.toml"


def test_it_is_read_where_numpy_does_not_work() -> None:
    read = "from edgesim import trust; trust.read_configuration()"
    assert run_python("-c", f"import sys; sys.modules['numpy'] = None; {read}").stderr == ""


def test_without_a_configuration_everything_passes(configuration: Path, bundle: Path) -> None:
    assert read_configuration() == DeviceConfiguration(require_signed_bundles=False)
    assert required_keys() is None
    assert open_bundle(str(bundle)).folder == bundle
    shutil.rmtree(configuration.parent)
    configuration.parent.write_bytes(b"")
    assert open_bundle(str(bundle)).folder == bundle


@pytest.mark.parametrize("content", ["", "require_signed_bundles = false", 'trusted_keys = "none"'])
def test_a_configuration_that_requires_nothing(configuration: Path, bundle: Path, content: str) -> None:
    configuration.write_text(content)
    assert required_keys() is None
    assert open_bundle(str(bundle)).folder == bundle


def test_a_bundle_passes_once_it_is_signed(configuration: Path, bundle: Path) -> None:
    configuration.write_text(STRICT)
    key = generate_key(configuration.parent / "keys" / "line-3")
    shutil.copy(configuration.parent / "keys" / "line-3.pub", configuration.parent)
    with pytest.raises(BundleError, match=rf"^{bundle}: not signed, and a signature is required"):
        open_bundle(str(bundle))
    sign_bundle(bundle, read_private_key(configuration.parent / "keys" / "line-3", bytes), 1)
    assert open_bundle(str(bundle)).folder == bundle
    for keys in ("keys", "line-3.pub", str(configuration.parent / "keys")):
        configuration.write_text(f'{STRICT}trusted_keys = "{keys}"')
        assert required_keys() == [key]
    generate_key(configuration.parent / "stranger")
    configuration.write_text(f'{STRICT}trusted_keys = "stranger.pub"')
    with pytest.raises(
        BundleError, match=rf"^{bundle}: signed by the key {key.fingerprint}, which is not trus"
    ):
        open_bundle(str(bundle))


def test_built_in_encoders_pass_as_parts_of_the_package(configuration: Path, builtin_bundles: None) -> None:
    configuration.write_text(STRICT)
    generate_key(configuration.parent / "keys" / "line-3")
    assert open_bundle("copy").spec.name == "tiny-0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("require_signed_bundles", "{file}: not TOML"),
        (
            "require_signed_bundles = 'true'",
            "{file}: require_signed_bundles: expected true or false, got 'true'",
        ),
        ("require_signed_bundle = true", "{file}: unknown key 'require_signed_bundle'; did you mean 'requir"),
        ("trusted_keys = ['keys']", "{file}: trusted_keys: expected a text, got ['keys']"),
        ("\0", "{file}: not TOML"),
        (STRICT, "{keys}: holds no public key (looked for *.pub); copy one there"),
        (STRICT + "trusted_keys = 'none'", "{folder}/none: cannot be read (No such file or directory)"),
    ],
)
def test_a_faulty_configuration_lets_nothing_pass(
    configuration: Path, bundle: Path, content: str, message: str
) -> None:
    configuration.write_text(content)
    with pytest.raises(UsageError) as caught:
        open_bundle(str(bundle))
    folder = configuration.parent
    assert str(caught.value).startswith(
        message.format(file=configuration, keys=folder / "keys", folder=folder)
    )
    assert "\n" not in str(caught.value)


def test_a_configuration_that_cannot_be_read(configuration: Path, bundle: Path) -> None:
    configuration.mkdir()
    with pytest.raises(UsageError) as caught:
        open_bundle(str(bundle))
    assert str(caught.value) == f"{configuration}: cannot be read (Is a directory)"
    configuration.rmdir()
    configuration.symlink_to("nowhere")
    with pytest.raises(UsageError) as caught:
        open_bundle(str(bundle))
    assert str(caught.value) == f"{configuration}: cannot be read (No such file or directory)"


def test_the_environment_names_another_configuration(
    configuration: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration.write_text("require_signed_bundles = false")
    (tmp_path / "strict.toml").write_text(STRICT)
    generate_key(tmp_path / "keys")
    (tmp_path / "strict.toml").write_text(f'{STRICT}trusted_keys = "keys.pub"')
    monkeypatch.setenv("EDGESIM_CONFIG", str(tmp_path / "strict.toml"))
    with pytest.raises(BundleError, match="not signed"):
        open_bundle(str(bundle))
    for name in (str(tmp_path / "none.toml"), ""):
        monkeypatch.setenv("EDGESIM_CONFIG", name)
        with pytest.raises(EdgesimError):
            open_bundle(str(bundle))
    monkeypatch.setenv("EDGESIM_CONFIG", "none.toml")
    with pytest.raises(UsageError) as caught:
        open_bundle(str(bundle))
    assert str(caught.value) == "EDGESIM_CONFIG names 'none.toml', which does not exist; correct or unset it"


def test_a_signature_is_required_and_cryptography_is_missing(
    configuration: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate_key(configuration.parent / "keys" / "line-3")
    configuration.write_text(STRICT)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_bundle(str(bundle))
    assert str(caught.value) == (
        "checking a signature needs the package cryptography, which is not installed. "
        "Run: pip install 'edgesim[sign]'"
    )
