"Deep image retrieval: photos in, ranked photos out. Names are imported when they are first used."

import difflib
import importlib
import inspect
import sys
from importlib.util import find_spec
from types import ModuleType

# Written by hand: public name -> module that defines it.
_NAMES = {
    "Extractor": "extractor",
    "extract": "features",
    "Features": "store",
    "Whitening": "whiten",
    "RetrievalNet": "nets",
    "create_model": "nets",
    "load_model": "checkpoints",
    "save_model": "checkpoints",
    "GeM": "pooling",
    "Dataset": "datasets",
    "ImageFolder": "datasets",
    "ImageList": "datasets",
    "ImageListLabels": "datasets",
    "ImageListRelevants": "datasets",
    "load_dataset": "datasets",
    "ToyLandmarks": "toy.landmarks",
    "download": "downloads.fetch",
    "Matches": "search",
    "search": "search",
    "aqe": "expand",
    "adba": "expand",
    "evaluate": "eval",
    "evaluate_descriptors": "eval",
    "average_precision": "metrics",
    "Report": "eval",
    "APLoss": "losses",
    "TrainConfig": "train",
    "train": "train",
    "fit_adapter": "adapter",
    "Collection": "collection",
    "show_ranking": "viz.ranking",
    "show_heatmap": "viz.maps",
}


def _face(package, names):
    "Return `__all__`, `__getattr__` and `__dir__` of a package that imports its names lazily."

    def getattr_(name):
        if name not in names:
            if not name.startswith("_") and find_spec(f"{package}.{name}"):
                return importlib.import_module(f"{package}.{name}")  # deepir.losses, for instance
            near = difflib.get_close_matches(name, names, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        module = importlib.import_module(f"{package}.{names[name]}")
        # A function that has the name of its module is called through the module, see below.
        return module if module.__name__ == f"{package}.{name}" else getattr(module, name)

    def dir_():
        return sorted({*names, *vars(sys.modules[package])})

    return sorted(names), getattr_, dir_


__all__, _getattr, __dir__ = _face(__name__, _NAMES)


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("deepir")
    return _getattr(name)


class _CallableModule(ModuleType):
    "A module such as `deepir.search` that can be called like the function it is named after."

    @property
    def _function(self):
        return getattr(self, self.__name__.rpartition(".")[2])

    @property
    def __signature__(self):
        return inspect.signature(self._function)

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)


class _Face(ModuleType):
    "The package itself. Python stores a submodule as an attribute when it has been imported."

    def __setattr__(self, name, value):
        if _NAMES.get(name) == name and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
