"""`make` says what is wrong with a version before it makes an environment."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dry_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `make test` would do; it does nothing."""
    # these tests may be run by make
    of_another = {"MAKEFLAGS", "MAKELEVEL", "TORCH", "NUMPY"}
    return subprocess.run(
        ["make", "--dry-run", "test", *arguments],
        cwd=ROOT,
        env={
            name: value for name, value in os.environ.items() if name not in of_another
        },
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("version", ["2", "2.6", "2.6.1", "newest"])
def test_a_version_will_do(version):
    made = dry_run(f"TORCH={version}", f"NUMPY={version}")
    assert made.returncode == 0, made.stderr
    assert f".venv-torch-{version}-numpy-{version}/bin/python -m pytest" in made.stdout


@pytest.mark.parametrize("name", ["TORCH", "NUMPY"])
@pytest.mark.parametrize(
    "version", ["abc", "2.6.", ">=2", "2.6 2.7", "newer", "2.6'", "-n", "\\c"]
)
def test_another_word_is_told_with_a_cure(name, version):
    made = dry_run("TORCH=2.6", "NUMPY=2.0", f"{name}={version}")
    assert made.returncode == 2
    assert made.stdout == ""
    *_, line = made.stderr.splitlines()
    assert f"{name}={version}: a version is wanted, such as 2.6" in line
