"""
Run a command that the kernel kills when the parent process dies.

Usage: `python -I -S die_with_parent.py PARENT_PID COMMAND ...`. This replaces
`preexec_fn`, which is not safe in a process with threads. Only Linux kills the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    _parent, _command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before that call took effect.
        if os.getppid() != _parent:
            sys.exit("the parent is gone")
    os.execv(_command[0], _command)
