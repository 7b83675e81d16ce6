"Landmarks that draw themselves."

from deepir import _face

# Written by hand: public name -> module that defines it.
_NAMES = {
    "ToyLandmarks": "landmarks",
}

__all__, __getattr__, __dir__ = _face(__name__, _NAMES)
