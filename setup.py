"""Which packages an installation gets; everything else is said in pyproject.toml.

The ready studies lie at the top of the repository, where people look for them. An installed package
holds them as `ablate.studies`, and a mapping beside searched packages cannot be said in TOML.
"""

from setuptools import find_namespace_packages, setup

# Folders of templates and studies are packages without a module.
found = find_namespace_packages(include=["ablate", "ablate.*"], exclude=["*.__pycache__"])
setup(packages=[*found, "ablate.studies"], package_dir={"ablate.studies": "studies"})
