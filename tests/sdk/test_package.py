"""What is shipped: the source archive and the wheel, built as for a release, one from the other."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import filepath_sdk
from filepath_sdk import protocol

PROJECT = Path(filepath_sdk.__file__).parents[2]


def test_the_wheel_carries_the_protocol_itself_and_its_types(tmp_path: Path) -> None:
    """In the repository it is a symbolic link out of the project."""
    build(PROJECT, "sdist", tmp_path)
    (source,) = tmp_path.glob("*.tar.gz")
    subprocess.run(["tar", "--extract", "--file", source, "--directory", tmp_path], check=True)
    build(tmp_path / source.name.removesuffix(".tar.gz"), "wheel", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = archive.read("filepath_sdk/protocol.py")
        assert "filepath_sdk/py.typed" in archive.namelist()
        (licence,) = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
        assert archive.read(licence) == (PROJECT.parents[1] / "LICENSE").read_bytes()
    assert shipped == Path(protocol.__file__).resolve().read_bytes()


def test_a_wheel_built_in_the_repository_carries_the_same_files(tmp_path: Path) -> None:
    build(PROJECT, "wheel", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (linked,) = [entry for entry in files.infolist() if entry.filename == "filepath_sdk/protocol.py"]
        assert files.read(linked) == Path(protocol.__file__).resolve().read_bytes()


def test_what_the_readmes_show_type_checks_as_a_user_would(tmp_path: Path) -> None:
    """Blocking and awaited, with no setting of this repository: the types are those that the package carries."""
    pages = [PROJECT / "README.md", PROJECT.parents[1] / "README.md"]
    snippets = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    files = [tmp_path / f"snippet_{number}.py" for number in range(len(snippets))]
    for file, snippet in zip(files, snippets, strict=True):
        file.write_text(snippet)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, files)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Success: no issues found in 4 source files\n"


def build(project: Path, target: str, to: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(to)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)


def test_every_public_name_can_be_imported() -> None:
    for name in filepath_sdk.__all__:
        assert getattr(filepath_sdk, name) is not None
