"The commands."

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
