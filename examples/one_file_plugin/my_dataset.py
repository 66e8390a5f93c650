import csv
from dataclasses import dataclass
from pathlib import Path

from auditor import Dataset, Sample, hookimpl
from auditor.imaging import file_version, read_picture, safe_path


@dataclass(frozen=True)
class MyDataset(Dataset):
    """Pictures listed in labels.csv, whose columns are file, patient, abnormal (1 or 0)."""

    name = "my_dataset"
    root: Path

    def classes(self):
        return ("abnormal",)

    def index(self):
        rows = list(csv.reader((self.root / "labels.csv").read_text(encoding="utf-8").splitlines()))[1:]
        return [Sample(name, patient, (int(label),), version=file_version(self.root / name)) for name, patient, label in rows]

    def read(self, sample):
        return read_picture(safe_path(self.root, sample.id))


@hookimpl
def register_datasets():
    return [MyDataset]
