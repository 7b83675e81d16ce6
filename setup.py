"Build the package. There is nothing to edit here: everything comes from settings.ini."

import shlex
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])  # ':' is part of the values
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
name = cfg["lib_path"]


def words(key):
    return shlex.split(cfg[key])


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    keywords=words("keywords"),
    license={"bsd3": "BSD-3-Clause"}[cfg["license"]],  # nbdev's word to the standard one
    python_requires=">=" + cfg["min_python"],
    # Said outright, so that an editable install is an entry of sys.path. A folder called deepir
    # in the working directory, such as the clone itself, would hide setuptools' import hook.
    package_dir={"": "."},
    packages=find_packages(include=[name, f"{name}.*"]),
    package_data={name: ["assets/*"]},
    install_requires=words("requirements"),
    extras_require={
        key.removesuffix("_requirements"): words(key)
        for key in cfg
        if key.endswith("_requirements")
    },
    entry_points={
        "console_scripts": words("console_scripts"),
        "nbdev": [f"{name}={name}._modidx:d"],  # lets nbdev link names to their pages
    },
)
