"""Puts recipes/ into the wheel, as `nlp_adapt/recipes`; pyproject.toml says everything else."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """Copies the recipes beside the code; an editable install reads them where they are."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        for recipe in sorted(Path("recipes").glob("*/*.yaml")):
            copy = Path(self.build_lib, "nlp_adapt", recipe)
            self.mkpath(str(copy.parent))
            self.copy_file(str(recipe), str(copy))


setup(cmdclass={"build_py": BuildWithRecipes})
