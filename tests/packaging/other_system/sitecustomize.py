"""Makes Python on Linux behave like Windows and macOS where unbraid could notice.

Python imports this file at its start if its folder is in $PYTHONPATH, also in worker processes. In
files below $OTHER_SYSTEM_ROOT, it raises an error for

* names that Windows reserves, or with characters that it does not allow,
* names that differ only in case from another name in the same folder,
* replacing or removing a file that is open or mapped into memory, which Windows refuses.

For unbraid and filelock it hides modules that only Unix has. For everything it removes functions
and signals that Windows does not have, and starts processes of `multiprocessing` by "spawn".
"""

from __future__ import annotations

import builtins
import multiprocessing
import os
import re
import signal
import sys
import warnings
from typing import Any

ROOT = os.path.realpath(os.environ["OTHER_SYSTEM_ROOT"])
UNIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
WITHOUT_UNIX_MODULES = ("unbraid", "filelock")
# macOS has no `sched_getaffinity`; Windows has none of the others either.
UNIX_FUNCTIONS = ["fork", "forkpty", "getloadavg", "killpg", "mkfifo", "nice"]
UNIX_FUNCTIONS += ["sched_getaffinity", "setsid", "statvfs", "wait3", "wait4"]
UNIX_SIGNALS = ["SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGUSR1"]
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
FORBIDDEN = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ]$')
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def check_name(path: str) -> None:
    """Raise an error if Windows would not accept the part of a path below the root."""
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.realpath(folder).startswith(ROOT):
        return
    if RESERVED.match(name) or FORBIDDEN.search(name):
        raise AssertionError(f"{path}: not a file name on Windows")
    if os.path.isdir(folder):
        for other in os.listdir(folder):
            if other != name and other.lower() == name.lower():
                raise AssertionError(f"{path}: the same file as {other} where case is ignored")


def check_closed(path: str) -> None:
    """Raise an error if this process has a file below the root open or mapped."""
    path = os.path.realpath(path)
    # filelock does this another way on Windows.
    is_lock = path.endswith(".lock")
    if is_lock or not path.startswith(ROOT) or not os.path.isfile(path):
        return
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        mapped = {line.rstrip("\n").partition("/")[2] for line in maps}
    if path.removeprefix("/") in mapped:
        raise AssertionError(f"{path}: replaced or removed while it is mapped into memory")
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target == path:
            raise AssertionError(f"{path}: replaced or removed while it is open")


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Check every file that Python opens for writing, creates, renames or removes."""
    if event == "open" and isinstance(arguments[0], str | bytes):
        path, mode, flags = arguments
        if (mode and set(mode) & set("wax+")) or (not mode and flags & WRITING):
            check_name(os.fsdecode(path))
    elif event == "os.mkdir":
        check_name(os.fsdecode(arguments[0]))
    elif event == "os.rename":
        source, target = map(os.fsdecode, arguments[:2])
        check_name(target)
        check_closed(source)
        check_closed(target)
    elif event == "os.remove":
        check_closed(os.fsdecode(arguments[0]))


def import_without_unix(name: str, *arguments: Any, **named: Any) -> Any:
    """Import a module, unless one of the packages imports a module of Unix."""
    namespace = named.get("globals") or (arguments[0] if arguments else None) or {}
    importer = str(namespace.get("__name__", "")).partition(".")[0]
    if importer in WITHOUT_UNIX_MODULES and name in UNIX_MODULES:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return original_import(name, *arguments, **named)


original_import = builtins.__import__
builtins.__import__ = import_without_unix
for function in UNIX_FUNCTIONS:
    delattr(os, function)
for number in UNIX_SIGNALS:
    delattr(signal, number)
multiprocessing.set_start_method("spawn")
sys.addaudithook(audit)
# With -X warn_default_encoding: on Windows the default encoding of files is not UTF-8.
warnings.filterwarnings("error", category=EncodingWarning, module=r"unbraid(\.|$)")
