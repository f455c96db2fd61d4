"""Build hook: a wheel carries the suites, whose place in the repository is beside the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSuites(build_py):
    """Build of the package with `suites/` inside; an editable install reads them in place."""

    def run(self) -> None:
        """Build the package, then copy the suites."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, "eibench", "suites")
        self.mkpath(str(folder))
        for path in sorted(Path("suites").glob("*.yaml")):
            self.copy_file(str(path), str(folder / path.name))


setup(cmdclass={"build_py": BuildWithSuites})
