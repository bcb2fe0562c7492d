"""Sphinx directive and role that show how the committed chapters were computed.

The workflow writes two files beside the executed chapters, and this extension only prints them:

`book/chapters/run.json`
    `scale`, `seeds` (list), `commit`, `threads`, `machine` (name to value) and `versions` (package
    to version); further keys are shown as they are. Where `stale_since` names a commit, every
    chapter's page, and the title page, open with a banner that says so.
`book/chapters/times.json`
    Chapter's name to seconds. Apart, because it differs between two otherwise identical runs.

In a page, ```` ```{run-record} settings ```` (or `versions`, `times`) makes a table, `cost` one of
what `book/tables/cost.csv` expects of a run, and
``{run}`scale` ``, ``{run}`versions.torch` `` or ``{run}`times.total` `` a value inside a sentence.
"""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

FOLDER = Path("book/chapters")
COST = Path("book/tables/cost.csv")
NOT_YET = "not executed yet"
FIRST = ("scale", "data set", "models", "seeds", "commit")
BANNER = (
    '<div class="admonition warning stale-chapter"><p class="admonition-title">Numbers of an '
    "earlier version</p><p>{what} executed before the package last changed (sources of commit "
    "{commit}); what they say will be computed again before the next release.</p></div>"
)
HEADS = {
    "settings": ("setting", "value"),
    "versions": ("package", "version"),
    "times": ("chapter", "time"),
    "cost": ("chapter", "core hours"),
}


def load(source: Path, name: str) -> dict[str, Any] | None:
    """Content of `name` in the chapters' folder, `None` where the workflow has not run."""
    path = source / FOLDER / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def read(env: BuildEnvironment, name: str) -> dict[str, Any] | None:
    """The same for a page that has to be rendered again when the file changes."""
    env.note_dependency(str(Path(env.srcdir) / FOLDER / name))
    return load(Path(env.srcdir), name)


def duration(seconds: float) -> str:
    """Seconds as a reader says them.

    Example:
        >>> duration(7.4), duration(125), duration(7322)
        ('7 s', '2 min 5 s', '2 h 2 min')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def say(value: Any) -> str:
    """A value of the record as text."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {say(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(say(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def rows(what: str, run: dict[str, Any], times: dict[str, float]) -> list[tuple[str, str]]:
    """First and second column of the table called `what`."""
    if what == "times":
        total = [("all together", duration(sum(times.values())))]
        return [(name, duration(seconds)) for name, seconds in sorted(times.items())] + total
    if what == "versions":
        return [(name, say(version)) for name, version in sorted(run["versions"].items())]
    known = [key for key in FIRST if key in run]
    keys = known + sorted(set(run) - {*known, "versions"})
    return [(key, say(run[key])) for key in keys]


def cost(path: Path) -> list[tuple[str, str]]:
    """Core hours of a chapter and, last, of all, from the table of timed units."""
    hours: Counter = Counter()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            hours[row["chapter"]] += float(row["core hours"])
    return [(chapter, f"{value:.2f}") for chapter, value in hours.items()]


def table(head: tuple[str, str], body: list[tuple[str, str]]) -> nodes.table:
    """A table of two columns."""

    def row(cells: tuple[str, str]) -> nodes.row:
        entries = (nodes.entry("", nodes.paragraph(text=cell)) for cell in cells)
        return nodes.row("", *entries)

    group = nodes.tgroup(cols=2)
    group += [nodes.colspec(colwidth=30), nodes.colspec(colwidth=70)]
    group += [nodes.thead("", row(head)), nodes.tbody("", *map(row, body))]
    return nodes.table("", group, classes=["run-record"])


class RunRecord(SphinxDirective):
    """A table of the record: `settings`, `versions` or `times`; or of the cost."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        what = self.arguments[0]
        if what not in HEADS:
            raise self.error(f"run-record: {what!r} is none of {', '.join(HEADS)}")
        if what == "cost":
            self.env.note_dependency(str(Path(self.env.srcdir) / COST))
            return [table(HEADS[what], cost(Path(self.env.srcdir) / COST))]
        run, times = read(self.env, "run.json"), read(self.env, "times.json")
        if run is None or times is None:
            return [nodes.paragraph(text=f"The chapters were {NOT_YET}.")]
        return [table(HEADS[what], rows(what, run, times))]


class RunValue(SphinxRole):
    """One value of the record, by its dotted name."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        first, _, rest = self.text.partition(".")
        record = read(self.env, "times.json" if first == "times" else "run.json")
        if record is None:
            return [nodes.inline(text=f"({NOT_YET})")], []
        try:
            text = self._say_time(record, rest) if first == "times" else self._find(record)
        except (KeyError, TypeError):
            message = self.inliner.reporter.error(f"run: no {self.text!r} in the record")
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [nodes.inline(text=text)], []

    def _find(self, record: Any) -> str:
        for key in self.text.split("."):
            record = record[key]
        return say(record)

    @staticmethod
    def _say_time(times: dict[str, float], name: str) -> str:
        return duration(sum(times.values()) if name == "total" else times[name])


def add_banner(app: Sphinx, page: str, template: str, context: dict, doctree: Any) -> None:
    """Let the pages of chapters, and the title page, say that they are of an earlier version."""
    chapter = page.startswith(f"{FOLDER}/")
    if (chapter or page == app.config.root_doc) and "body" in context:
        commit = (load(Path(app.srcdir), "run.json") or {}).get("stale_since")
        what = "This chapter was" if chapter else "The chapters were"
        if commit:
            context["body"] = BANNER.format(what=what, commit=commit) + context["body"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the role."""
    app.add_directive("run-record", RunRecord)
    app.add_role("run", RunValue())
    app.connect("html-page-context", add_banner)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
