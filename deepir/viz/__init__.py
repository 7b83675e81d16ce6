"Figures: rankings, curves, maps and pages."

from deepir import _face

# Written by hand: public name -> module that defines it.
_NAMES = {
    "show_ranking": "ranking",
    "show_photo": "ranking",
    "show_pr": "curves",
    "show_changes": "curves",
    "show_training": "curves",
    "show_map": "maps",
    "show_heatmap": "maps",
    "show_matches": "maps",
    "write_gallery": "gallery",
}

__all__, __getattr__, __dir__ = _face(__name__, _NAMES)
