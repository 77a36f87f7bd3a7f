"""Where results are kept, and the report that is made of them."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster.results import ClusterResults
from benchmarks.report.markdown import make_report
from benchmarks.report.pictures import draw, make_pictures
from benchmarks.results import Results
from tools.toolbox.cache import cache_root
from tools.toolbox.errors import ToolError

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Place:
    """Results, and a report with its pictures in a folder beside it."""

    results: Path
    report: Path

    @property
    def serving(self) -> Path:
        return self.results / "serving.json"

    @property
    def cluster(self) -> Path:
        return self.results / "cluster.json"

    def read(self) -> Results:
        if not self.serving.exists():
            raise ToolError(f"{self.serving}: there are no results; `make bench` makes some")
        return Results.read(self.serving)

    def read_cluster(self) -> ClusterResults | None:
        return ClusterResults.read(self.cluster) if self.cluster.exists() else None

    def make_text(self) -> str:
        results, cluster = self.read(), self.read_cluster()
        return make_report(results, cluster, list(make_pictures(results, cluster)))

    def write_report(self) -> None:
        draw(make_pictures(self.read(), self.read_cluster()), self.report.with_suffix(""))
        self.report.write_text(self.make_text())


def kept() -> Place:
    """The project's own, in git."""
    return Place(ROOT / "benchmarks/results", ROOT / "docs/benchmarks.md")


def latest() -> Place:
    """This machine's, in the cache folder."""
    folder = cache_root() / "benchmarks/latest"
    return Place(folder, folder / "benchmarks.md")
