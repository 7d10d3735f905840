"""Builds the container image and runs it, as root and without a daemon, with debootstrap, buildah, podman and runc.

The base image of the Dockerfile is not available without a registry, so one is built from Debian packages. It contains
what the Dockerfile needs: Python, with pip at the same path as in the official images.
"""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_BASE = "localhost/base:test"
_SUITE, _PYTHON = "bookworm", "3.11"
_SITE = f"usr/local/lib/python{_PYTHON}/dist-packages"
# podman's own limits are above what a machine may allow.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")
PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}
"""The name of each processor in the platform of an image, and in Python."""
_BUILD_SECONDS = 600.0
_RUN_SECONDS = 60.0


class Engine:
    """Images and containers in a separate folder.

    Args:
        folder: Their location; the machine's own images and containers are not changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        storage = (f"--root={folder / 'storage'}", f"--runroot={folder / 'run'}", "--storage-driver=overlay")
        # Control groups without systemd; crun does not support their version 1.
        runtime = (f"--runtime={_tool('runc')}", "--cgroup-manager=cgroupfs", "--events-backend=file")
        self._buildah = [_tool("buildah"), *storage]
        self._podman_command = [_tool("podman"), *storage, *runtime, f"--tmpdir={folder / 'tmp'}"]

    def _podman(self, *arguments: str, seconds: float = _RUN_SECONDS) -> str:
        return _run([*self._podman_command, *arguments], seconds).stdout

    def make_base(self) -> None:
        """Make a base image with Debian's Python and pip, for every processor."""
        _run([*self._buildah, "manifest", "create", _BASE], _RUN_SECONDS)
        for processor, machine in PROCESSORS.items():
            assert platform.machine() == machine or Path(f"/proc/sys/fs/binfmt_misc/qemu-{machine}").exists(), (
                f"this kernel runs no {machine} programs: mount binfmt_misc, then apt-get install qemu-user-static"
            )
            image = f"{_BASE}-{processor}"
            self._make_base(processor, image)
            _run([*self._buildah, "manifest", "add", _BASE, f"containers-storage:{image}"], _RUN_SECONDS)

    def _make_base(self, processor: str, image: str) -> None:
        base = self._folder / "base"
        bootstrap = [f"--arch={processor}", "--variant=minbase", "--include=python3", _SUITE, str(base)]
        _run([_tool("debootstrap"), *bootstrap], _BUILD_SECONDS)
        pip = importlib.util.find_spec("pip")
        assert pip is not None
        assert pip.origin is not None
        shutil.copytree(Path(pip.origin).parent, base / _SITE / "pip")
        (base / _SITE / "pip-0.dist-info").mkdir()
        shutil.rmtree(base / "var" / "cache" / "apt")
        archive = self._folder / "base.tar"
        _run([_tool("tar"), "-C", str(base), "-cf", str(archive), "."], _BUILD_SECONDS)
        architecture = f"--arch={processor}"
        self._podman("import", "--quiet", architecture, str(archive), image, seconds=_BUILD_SECONDS)
        shutil.rmtree(base)
        archive.unlink()

    def build_release(self) -> Path:
        """Build everything of a release, with the project's script; returns its folder."""
        made = self._folder / "dist"
        environment = {
            "BASE": _BASE,
            "BUILDAH": " ".join(self._buildah),
            "BUILDAH_ISOLATION": "chroot",
            "DIST": str(made),
            "PYTHON_VERSION": _PYTHON,
        }
        _run([str(ROOT / "tools" / "build-release")], _BUILD_SECONDS, environment)
        return made

    def load(self, archive: Path) -> str:
        """Load the image in an archive; returns its name."""
        return self._podman("load", "--quiet", f"--input={archive}", seconds=_BUILD_SECONDS).split()[-1]

    def pull(self, archive: Path, processor: str) -> str:
        """Load the image for a processor from an archive; returns its id."""
        wanted = ("--quiet", f"--platform=linux/{processor}", f"oci-archive:{archive}")
        return self._podman("pull", *wanted, seconds=_BUILD_SECONDS).split()[-1]

    def run(self, image: str, *command: str, entrypoint: str) -> str:
        """Run a command in a new container without a network; its output."""
        options = ("--rm", "--network=none", *_LIMITS, f"--entrypoint={entrypoint}")
        return self._podman("run", *options, image, *command)

    def close(self) -> None:
        """Remove the mounts that buildah and podman leave; then the folder can be removed."""
        layers = self._folder / "storage" / "overlay"
        while layers.is_mount():
            _run([_tool("umount"), str(layers)], _RUN_SECONDS)

    def inspect(self, name: str) -> dict[str, Any]:
        """The properties of an image or a container."""
        (found,) = json.loads(self._podman("inspect", name))
        details: dict[str, Any] = found
        return details

    @contextmanager
    def running(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Iterator["Container"]:
        """Start a container without a network; remove it.

        Args:
            image: Its image.
            arguments: Arguments of the image's command.
            options: Other options for podman.
        """
        identity = self._podman("run", "--detach", "--network=none", *_LIMITS, *options, image, *arguments).strip()
        try:
            yield Container(self, identity)
        finally:
            self._podman("rm", "--force", "--time=0", identity)

    def execute(self, identity: str, *command: str) -> str:
        """Run a command in a running container; its output."""
        return self._podman("exec", identity, *command)

    def logs(self, identity: str) -> str:
        """The standard error of a container."""
        return _run([*self._podman_command, "logs", identity], _RUN_SECONDS).stderr

    def stop(self, identity: str, within_seconds: int) -> None:
        """Send the image's stop signal; kill it if it does not end in time."""
        self._podman("stop", f"--time={within_seconds}", identity)


class Container:
    """A running container.

    Args:
        engine: The engine that runs it.
        identity: Its id.
    """

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._identity = identity

    def execute(self, *command: str) -> str:
        """Run a command in it; its output."""
        return self._engine.execute(self._identity, *command)

    def get(self, path: str) -> str:
        """A page, requested inside the container at the default address; no port of the host is used."""
        fetch = (
            "import http.client, sys\n"
            "connection = http.client.HTTPConnection('127.0.0.1', 9410, timeout=10)\n"
            "connection.request('GET', sys.argv[1])\n"
            "sys.stdout.write(connection.getresponse().read().decode())"
        )
        return self.execute("python3", "-c", fetch, path)

    def status(self) -> dict[str, str]:
        """`/proc/PID/status` of its first process."""
        process = self._engine.inspect(self._identity)["State"]["Pid"]
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def logs(self) -> str:
        """Its standard error."""
        return self._engine.logs(self._identity)

    def serves(self) -> bool:
        """True once it has logged that it listens; a container that has ended fails the test with its log."""
        written = self.logs()
        assert self._engine.inspect(self._identity)["State"]["Running"], written
        return "msg=listening" in written

    def stop(self, within_seconds: int) -> int:
        """Stop it as Kubernetes does; the exit code, 137 if it was killed."""
        self._engine.stop(self._identity, within_seconds)
        return int(self._engine.inspect(self._identity)["State"]["ExitCode"])


def _tool(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} not found: apt-get install buildah debootstrap podman runc"
    return path


def _run(
    command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done
