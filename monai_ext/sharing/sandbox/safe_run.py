"""Verify, audit, unpack and run somebody else's bundle, in the strongest sandbox that the machine has."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ext.errors import PackageError, SandboxError
from monai_ext.foreign_text import listed
from monai_ext.sharing.audit import AuditReport, audit_bundle
from monai_ext.sharing.package_file import unpack
from monai_ext.sharing.sandbox.bubblewrap import bubblewrap_command, bubblewrap_problem
from monai_ext.sharing.sandbox.landlock_sandbox import landlock_command, landlock_problem
from monai_ext.sharing.sandbox.limits import Limits, process_group, watch
from monai_ext.sharing.sandbox.surroundings import Surroundings, environment
from monai_ext.sharing.trust import TrustedKey
from monai_ext.sharing.verification import verify_package

__all__ = ["SafeRun", "run_in_sandbox", "run_safely"]

SANDBOXES: dict[str, Callable[[], str | None]] = {"bubblewrap": bubblewrap_problem, "landlock": landlock_problem}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LARGEST_TEMPORARY = 2**30


@dataclass(frozen=True)
class SafeRun:
    """How a run ended.

    Args:
        sandbox: ``bubblewrap``, ``landlock``, or ``none``.
        exit_status: of the bundle; negative when a signal ended it.
        stopped: the limit that it exceeded; None when it ended by itself.
        log: what it printed, without control characters.
        files: what it wrote, relative to the output folder.
        removed_links: links that it left there, which were removed.
    """

    sandbox: str
    exit_status: int
    stopped: str | None
    log: str
    files: list[str]
    removed_links: list[str]


def run_safely(
    package: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    trusted: Sequence[TrustedKey],
    sandbox: str = "auto",
    accept_unsigned: bool = False,
    accept_unknown: bool = False,
    options: Sequence[str] = (),
    limits: Limits | None = None,
) -> SafeRun:
    """Run ``configs/inference.json`` of a package on a folder of data.

    Args:
        package: file by `bundle pack`.
        data: folder to be read.
        output: folder to be written; it must not exist, or be empty.
        trusted: keys whose signatures count.
        sandbox: ``auto``, ``bubblewrap``, ``landlock``, or ``none``, which protects from nothing.
        accept_unsigned: run what nobody vouches for, too.
        accept_unknown: run what the audit does not know, too; what it refuses is never run.
        options: more of MONAI's command line, such as ``--device`` and ``cpu``.
        limits: of processes, disk and time.

    Raises:
        PackageError: the package is not as a trusted key signed it, or cannot be unpacked.
        SandboxError: the audit does not let it pass, this machine has no sandbox, or a folder cannot be used.
    """
    chosen = _choose(sandbox)
    found = verify_package(package, trusted=trusted)
    unsigned = [problem for problem in found.problems if "not signed" in problem]
    if found.problems and not (accept_unsigned and unsigned == found.problems):
        raise PackageError(f"{package} is not run: {listed(found.problems, separator='; ')}.")
    _let_pass(audit_bundle(package), accept_unknown=accept_unknown)
    source, target = _folders(Path(data), Path(output))
    with tempfile.TemporaryDirectory(prefix="bundle-") as temporary:
        folder = unpack(found.bundle, Path(temporary).resolve() / found.bundle.root, found.digests)
        arguments = ["--config_file", "configs/inference.json", "--bundle_root", str(folder)]
        arguments += ["--dataset_dir", str(source), "--output_dir", str(target), *options]
        command = [sys.executable, "-I", "-m", "monai.bundle", "run", *arguments]
        return run_in_sandbox(command, bundle=folder, data=source, output=target, sandbox=chosen, limits=limits)


def run_in_sandbox(
    command: Sequence[str], *, bundle: Path, data: Path, output: Path, sandbox: str, limits: Limits | None = None
) -> SafeRun:
    """Run a command that sees a bundle and data, and writes to an output folder, and can do nothing else."""
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="sandbox-") as temporary, process_group(limits) as group:
        around = Surroundings(bundle, data, output, Path(temporary).resolve())
        around.temporary.joinpath("tmp").mkdir()
        full = _command(command, around, sandbox)
        with open(around.temporary / "log", "w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                full,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=bundle,
                start_new_session=True,
                env=environment(str(around.temporary / "tmp")),
                preexec_fn=lambda: _hold(limits, group),
            )
            try:
                stopped = watch(process, limits, output)
            finally:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, 9)
            log.seek(0)
            printed = _CONTROL.sub("", log.read(_LONGEST_LOG))
    return SafeRun(sandbox, process.returncode, stopped, printed, *_what_was_written(output))


_LONGEST_LOG = 2**20


def _command(command: Sequence[str], around: Surroundings, sandbox: str) -> list[str]:
    inner = Surroundings(around.bundle, around.data, around.output, around.temporary / "tmp")
    seen = environment(str(inner.temporary))
    if sandbox == "bubblewrap":
        return bubblewrap_command(command, inner, seen, largest_temporary=LARGEST_TEMPORARY)
    return landlock_command(command, inner, seen) if sandbox == "landlock" else list(command)


def _hold(limits: Limits, group: Path | None) -> None:
    """In the new process, before anything else: the limits that the kernel keeps."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.disk_bytes, limits.disk_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if group is not None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    elif os.geteuid() != 0:
        allowed = _own_threads() + limits.processes
        resource.setrlimit(resource.RLIMIT_NPROC, (allowed, allowed))


def _own_threads() -> int:
    """Threads that this user runs already, which count for the limit of each user."""
    count = 0
    for process in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if process.isdigit() and os.stat(f"/proc/{process}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{process}/task"))
    return count


def _what_was_written(output: Path) -> tuple[list[str], list[str]]:
    """Files and links that a run left; links are removed, since who opens them would open something else."""
    files, links = [], []
    for path in sorted(output.rglob("*")):
        if path.is_symlink():
            path.unlink()
            links.append(path.relative_to(output).as_posix())
        elif path.is_file():
            files.append(path.relative_to(output).as_posix())
    return files, links


def _choose(sandbox: str) -> str:
    if sandbox == "none":
        return sandbox
    problems = []
    for name in SANDBOXES if sandbox == "auto" else [sandbox]:
        if name not in SANDBOXES:
            raise SandboxError(f"There is no sandbox {name!r}; there are auto, none, {', '.join(SANDBOXES)}.")
        problem = SANDBOXES[name]()
        if problem is None:
            return name
        problems.append(f"{name}: {problem}")
    raise SandboxError(
        f"This machine cannot keep the bundle from the network and your files ({'; '.join(problems)}), so that only the"
        " audit protects you. Run it on Linux with bubblewrap; or with --sandbox none, where it can read and send"
        " everything that you can."
    )


def _let_pass(report: AuditReport, *, accept_unknown: bool) -> None:
    if report.verdict == "refused" or (report.verdict == "look" and not accept_unknown):
        first = report.findings[0]
        remedy = "never run" if report.verdict == "refused" else "run with --accept-unknown after you have looked at it"
        raise SandboxError(
            f"The audit of {report.path} says {report.verdict}: {len(report.findings)} findings, first {first.file}"
            f" {first.place} [{first.rule}]: {first.reason}. `bundle audit` shows all; such a bundle is {remedy}."
        )


def _folders(data: Path, output: Path) -> tuple[Path, Path]:
    if not data.is_dir():
        raise SandboxError(f"There is no folder {data} of data.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise SandboxError(f"The output folder {output} is not empty: name a new one.")
    except OSError as error:
        raise SandboxError(f"The output folder {output} cannot be used: {error.strerror or error}.") from error
    source, target = data.resolve(), output.resolve()
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise SandboxError(
            f"{output} and {data} lie in one another: the data would be open for writing. Separate them."
        )
    return source, target
