"""What is shipped: the wheel, built as for a release."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import filepath_sdk
from filepath_sdk import protocol

PROJECT = Path(filepath_sdk.__file__).parents[2]


def test_the_wheel_carries_the_protocol_itself_and_its_types(tmp_path: Path) -> None:
    """In the repository it is a symbolic link out of the project."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = archive.read("filepath_sdk/protocol.py")
        assert "filepath_sdk/py.typed" in archive.namelist()
    assert shipped == Path(protocol.__file__).resolve().read_bytes()


def test_every_public_name_can_be_imported() -> None:
    for name in filepath_sdk.__all__:
        assert getattr(filepath_sdk, name) is not None
