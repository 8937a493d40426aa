"""Runs a command that dies with its parent: `guard.py PARENT SIGNAL [UID GID] -- COMMAND...`.

Run as a script, before `exec`, because the kernel forgets the death signal when a process changes
its user, and because the parent has threads, where Python's own hook between fork and exec may
deadlock. It imports nothing of the project.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    separator = arguments.index("--")
    parent, signal, *identity = (int(argument) for argument in arguments[:separator])
    command = arguments[separator + 1 :]
    if identity:
        uid, gid = identity
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
        # The parent may have died before the line above.
        if os.getppid() != parent:
            raise SystemExit(1)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
