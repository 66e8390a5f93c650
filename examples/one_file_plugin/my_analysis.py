from dataclasses import dataclass

from auditor import Analysis, Metric, hookimpl


@dataclass(frozen=True)
class MyAnalysis(Analysis):
    """The distance of the stated probability from 0.5, for every image whose label is known."""

    name = "my_analysis"
    needs = frozenset({"logits", "labels"})
    metrics = (Metric("my_analysis_sureness", says="How far the stated probability is from a coin toss.", low=0, high=0.5),)

    def measure(self, batch):
        return {"my_analysis_sureness": (batch.logits.sigmoid() - 0.5).abs()}


@hookimpl
def register_analyses():
    return [MyAnalysis]
