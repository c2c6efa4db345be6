"""The script that builds MinkowskiEngine, with stand-ins for Python, pip and the compiler: nothing is built here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("bash"),
    reason="the script is for Linux; its stand-ins are shell scripts",
)

Install = Callable[..., subprocess.CompletedProcess[str]]

BUILD = "cpython-311-torch9.9-x86_64"

PYTHON = f"""#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
    *cuda.is_available*) exit 1 ;;
    *cache_tag*) echo {BUILD} ;;
    *"pip"*wheel*) [ -n "$NETWORK" ] || exit 1
        shift; while [ "$1" != --wheel-dir ]; do shift; done
        mkdir -p "$2" && echo built > "$2/minkowskiengine-0.5.4.whl" ;;
    *"pip"*force-reinstall*) touch "$CALLS.installed" ;;
    "- cpu") [ -e "$CALLS.installed" ] && echo works ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Environment in which torch is installed, the compiler finds OpenBLAS, and the network is there."""
    for name, text in {"python": PYTHON, "g++": "#!/bin/sh\nexit 0\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "calls").touch()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHON": str(tmp_path / "python"),
        "CXX": str(tmp_path / "g++"),
        "CALLS": str(tmp_path / "calls"),
        "MONAI_EXT_CACHE": str(tmp_path / "cache"),
        "NETWORK": "there",
    }


@pytest.fixture
def install(repository: Path, machine: dict[str, str]) -> Install:
    """Run the script in that environment."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(repository / "scripts" / "install_minkowski.sh"), *arguments],
            env=machine | changes,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def python_that_fails(folder: Path, at: str) -> str:
    """A stand-in for Python that fails at commands which hold ``at``."""
    python = folder / at.replace(" ", "-")
    python.write_text(PYTHON.replace('case "$*" in', f'case "$*" in\n    *"{at}"*) exit 1 ;;', 1))
    python.chmod(0o755)
    return str(python)


def wheels(machine: dict[str, str]) -> list[Path]:
    return list(Path(machine["MONAI_EXT_CACHE"]).rglob("*.whl"))


def leftovers(machine: dict[str, str]) -> list[Path]:
    return list(Path(machine["MONAI_EXT_CACHE"]).glob("minkowski/.building-*"))


def test_it_builds_once_keeps_the_wheel_and_installs_it(install: Install, machine: dict[str, str]) -> None:
    assert install("--is-cached").returncode == 1
    result = install()
    assert result.returncode == 0, result.stderr
    assert "works" in result.stdout
    assert [wheel.parent.name for wheel in wheels(machine)] == [f"{BUILD}-cpu"]
    assert not leftovers(machine)
    assert install("--is-cached").returncode == 0
    Path(machine["CALLS"] + ".installed").unlink()  # another environment with the same Python and torch
    again = install(NETWORK="", CXX="nonexistent")
    assert again.returncode == 0, again.stderr
    assert "Building" not in again.stdout


def test_where_it_works_already_nothing_is_done(install: Install, machine: dict[str, str]) -> None:
    Path(machine["CALLS"] + ".installed").touch()
    assert install().returncode == 0
    assert "pip" not in Path(machine["CALLS"]).read_text().replace("pip --version", "")
    assert not wheels(machine)


def test_python_may_be_given_by_a_relative_path(install: Install, machine: dict[str, str]) -> None:
    result = install(PYTHON=os.path.relpath(machine["PYTHON"]))
    assert result.returncode == 0, result.stderr
    assert "works" in result.stdout


def test_a_failed_download_leaves_nothing_and_the_next_run_recovers(install: Install, machine: dict[str, str]) -> None:
    result = install(NETWORK="")
    assert result.returncode == 1
    assert "could not fetch" in result.stderr
    assert "run this again" in result.stderr
    assert not wheels(machine)
    assert not leftovers(machine)
    assert install().returncode == 0


def test_what_a_killed_build_left_is_removed_and_never_installed(install: Install, machine: dict[str, str]) -> None:
    half_written = Path(machine["MONAI_EXT_CACHE"]) / "minkowski" / ".building-killed" / "wheel" / "half.whl"
    half_written.parent.mkdir(parents=True)
    half_written.touch()
    assert install("--is-cached").returncode == 1
    assert install().returncode == 0
    assert [wheel.name for wheel in wheels(machine)] == ["minkowskiengine-0.5.4.whl"]
    assert not leftovers(machine)


def test_what_is_missing_is_said(install: Install, machine: dict[str, str]) -> None:
    compiler = Path(machine["CXX"])
    refusing = partial(python_that_fails, compiler.parent)
    cases = {
        "no C[+][+] compiler.*apt-get install g[+][+]": install(CXX="nonexistent"),
        "without it": install("--cuda", PYTHON=refusing("version.cuda")),
        "torch and numpy are not installed": install(PYTHON=refusing("import torch, numpy")),
    }
    compiler.write_text("#!/bin/sh\nexit 1\n")
    cases["OpenBLAS.*apt-get install libopenblas-dev"] = install()
    for message, result in cases.items():
        assert result.returncode == 1
        assert re.search(message, result.stderr), result.stderr
    assert not wheels(machine)
