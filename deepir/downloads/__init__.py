"Data sets and checkpoints of the field in one line each."

from deepir import _face

# Written by hand: public name -> module that defines it.
_NAMES = {
    "download": "fetch",
    "fetch_file": "fetch",
    "DownloadError": "fetch",
    "unpack": "archives",
}

__all__, __getattr__, __dir__ = _face(__name__, _NAMES)
