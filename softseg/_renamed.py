"""Where modules of earlier versions have gone: an old import fails with the new name."""

STUDY = "it comes with the checkout (make env), not with the package"
RENAMED = {
    "softseg.competitors": f"softseg_study.competitors; {STUDY}",
    "softseg.dataset.writing": "softseg.dataset.description",
    "softseg.evaluation": f"softseg_study.evaluation; {STUDY}",
    "softseg.figures": f"softseg_study.figures; {STUDY}",
    "softseg.metrics.calibration": f"softseg_study.statistics.calibration; {STUDY}",
    "softseg.metrics.surfaces": f"softseg_study.statistics.surfaces; {STUDY}",
    "softseg.phantom.calibration": f"softseg_study.phantom.calibration; {STUDY}",
    "softseg.phantom.drawn": "softseg.phantom.section_stream",
    "softseg.phantom.followup": f"softseg_study.phantom.visits; {STUDY}",
    "softseg.phantom.visits": f"softseg_study.phantom.visits; {STUDY}",
    "softseg.preprocessing": "softseg.volume; Volume.load(path, average=…) averages a series",
    "softseg.segmentation.cohort": "softseg.segmentation.batch",
    "softseg.processes": "softseg.batch",
    "softseg.provenance.software": "softseg.provenance.records",
    "softseg.training.material": "softseg.training.data; networks are made by .module.make_network",
    "softseg.statistics": f"softseg_study.statistics; {STUDY}",
}
"""Module of an earlier version → what to import since 0.2.0."""


class OldNames:
    """The last finder that Python asks: what nothing else has found may have moved."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Raise for what has moved, stay silent about the rest."""
        if name in RENAMED:
            raise ModuleNotFoundError(f"{name} is now {RENAMED[name]}", name=name)
