"The commands."

import os
import signal
import sys
import threading
from pathlib import Path

from deepir import _face

# Written by hand: public name -> module that defines it.
_NAMES = {
    "deepir_eval": "eval",
    "deepir_extract": "extract",
    "deepir_train": "train",
    "deepir_convert": "convert",
    "deepir_search": "search",
    "deepir_download": "download",
    "deepir_extract_kapture": "extract_kapture",
}

__all__, __getattr__, __dir__ = _face(__name__, _NAMES)


def _stop_import(number, frame):
    "End a command that hasn't begun yet: packages take seconds to import."
    os.write(2, f"{_program}: stopped\n".encode())
    os._exit(130)


# Only in a command of ours, until it begins: `deepir.cli.flags.command` takes over from here.
_program = Path(sys.argv[0]).stem if getattr(sys, "argv", None) else ""
if (
    _program in _NAMES
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _stop_import)
