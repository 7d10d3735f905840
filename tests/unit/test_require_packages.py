"""`make test` says all it installs before it installs it, and prints the command where it may not."""

import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "require-packages"
NEEDS = ("ls=coreutils", "absent-a=pkg-b,pkg-c", "libabsent.so.1=pkg-a", "absent-b=pkg-b", "libc.so.6=libc6")
# Stands for apt-get: a simulated install names what comes along, a real one notes what it was asked for.
APT_GET = """#!/bin/sh
case "$*" in
  *absent-package*) echo "E: Unable to locate package absent-package" >&2; exit 100 ;;
  *--simulate*) echo "Inst pkg-d (1.0)"; echo "Inst pkg-a (1.0)"; echo "Conf pkg-d (1.0)" ;;
esac
echo "$*" >>"$CALLS"
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder of commands that stand in for those of a machine: an apt-get, run as root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    write(folder / "apt-get", APT_GET)
    write(folder / "id", "#!/bin/sh\necho 0\n")
    return folder


def write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def require(commands: Path, *needs: str) -> tuple[int, str, list[str]]:
    """The exit code, what is said, and the calls of apt-get that are not simulated."""
    calls = commands / "calls"
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "CALLS": str(calls)}
    done = subprocess.run([TOOL, *needs], env=environment, capture_output=True, text=True, check=False, timeout=60)
    lines = calls.read_text().splitlines() if calls.exists() else []
    return done.returncode, done.stdout + done.stderr, [line for line in lines if "--simulate" not in line]


def test_root_is_shown_all_packages_in_one_line_before_they_are_installed_in_one_go(commands: Path) -> None:
    assert require(commands, *NEEDS) == (
        0,
        (
            "Missing on this machine: absent-a libabsent.so.1 absent-b. "
            "Installing 2 Debian packages with apt-get: pkg-d pkg-a\n"
        ),
        ["update -qq", "install --yes --no-install-recommends pkg-a pkg-b pkg-c -qq"],
    )


def test_nothing_is_said_or_done_where_nothing_is_missing(commands: Path) -> None:
    assert require(commands, "ls=coreutils", "libc.so.6=libc6") == (0, "", [])


def test_another_user_is_given_the_command_that_installs_everything(commands: Path) -> None:
    write(commands / "id", "#!/bin/sh\necho 1000\n")

    assert require(commands, *NEEDS) == (
        1,
        (
            "Missing on this machine: absent-a libabsent.so.1 absent-b. Install what is missing and try again; "
            "on Debian: sudo apt-get install --yes --no-install-recommends pkg-a pkg-b pkg-c\n"
        ),
        [],
    )


def test_a_machine_without_apt_is_given_the_command_for_debian(commands: Path) -> None:
    (commands / "apt-get").unlink()
    for name in ("bash", "dirname", "ldconfig", "sort", "env"):
        found = next(path for path in (Path("/usr/bin"), Path("/bin"), Path("/sbin")) if (path / name).exists())
        (commands / name).symlink_to(found / name)

    done = subprocess.run(
        [TOOL, "absent=pkg-a"], env={"PATH": str(commands)}, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Missing on this machine: absent. Install what is missing and try again; "
        "on Debian: sudo apt-get install --yes --no-install-recommends pkg-a\n"
    )


def test_a_package_that_does_not_exist_is_an_error_and_nothing_is_announced(commands: Path) -> None:
    assert require(commands, "absent=absent-package") == (
        100,
        "E: Unable to locate package absent-package\n",
        ["update -qq"],
    )
