"Adapters for other packages; each needs the extra of its name."

from deepir import _face

# Written by hand: public name -> module that defines it.
_NAMES = {
    "TimmTrunk": "timm",
    "export_onnx": "onnx",
    "FaissIndex": "faiss",
    "recall_against": "faiss",
    "KaptureImages": "kapture",
    "extract_kapture": "kapture",
    "extraction_conf": "hloc",
}

__all__, __getattr__, __dir__ = _face(__name__, _NAMES)
