"""Runs, pictures and bundles in MLflow; the only file that knows it.

A bundle is logged as the plain folder it is and registered by pointing a model version at it: no
pickle, no MLflow flavour, nothing of ours has to be importable to read it. Which version serves is
an alias (``champion``, ``challenger``); everything that is handed out names the resolved version
and digest.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from features.errors import PackGradeError
from models.manifest import TrainingData

for _chatty in ("alembic", "mlflow"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)

CHAMPION, CHALLENGER = "champion", "challenger"
BUNDLE_FOLDER = "bundle"
EVALUATION_FILE = "evaluation.json"
REPORT_FILE = "report.html"
_SQLITE = "sqlite:///"
_DIGEST_TAG = "bundle_sha256"
_HISTORY_TAG = "champion_history"
_PARENT_TAG = "mlflow.parentRunId"


@dataclass(frozen=True)
class RunRecord:
    """Everything one training run leaves behind.

    Attributes
    ----------
    name : str
        Name of the run.
    parameters : mapping of str to str
        The plan, flat.
    metrics : mapping of str to float
        Figures; those that are not finite are left out.
    datasets : sequence of TrainingData
        What trained.
    tables : mapping of str to DataFrame
        Written as CSV under their names (split manifest, held-out predictions).
    pictures : mapping of str to Figure
        Written as PNG under their names.
    evaluation : mapping
        The figures with their structure, as JSON.
    bundle_folder : Path or None
        The bundle; None for an evaluation alone.
    page : str
        The evaluation as one self-contained HTML page; empty where there is none.
    children : sequence of RunRecord
        Runs nested below this one: the methods of a bundle.
    """

    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    datasets: Sequence[TrainingData]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, Figure] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    bundle_folder: Path | None = None
    page: str = ""
    children: Sequence["RunRecord"] = ()


@dataclass(frozen=True, slots=True)
class RegisteredBundle:
    """A bundle in the registry, by resolved version and digest."""

    name: str
    version: str
    run_id: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version} ({self.sha256[:12]}…)"


class TrackingStore:
    """An MLflow store.

    Parameters
    ----------
    uri : str
        ``sqlite:///file.db`` (artefacts go into ``mlartifacts`` beside the file) or a server's URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        if uri.startswith(_SQLITE):
            Path(uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def log(self, experiment: str, record: RunRecord, parent_run_id: str | None = None) -> str:
        """Log a finished run and those nested below it.

        Returns
        -------
        str
            Identifier of the run.
        """
        with self.running(experiment, record.name, parent_run_id) as run_id:
            self.fill(run_id, record)
            for child in record.children:
                self.log(experiment, child, run_id)
        return run_id

    @contextmanager
    def running(self, experiment: str, name: str, parent_run_id: str | None = None) -> Iterator[str]:
        """Open a run for as long as the block runs; gives its identifier, and it has failed if the block raises."""
        tags = {_PARENT_TAG: parent_run_id} if parent_run_id else None
        run = self._client.create_run(self._experiment_id(experiment), run_name=name, tags=tags)
        run_id = str(run.info.run_id)
        try:
            yield run_id
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id)

    def register(self, name: str, run_id: str, sha256: str) -> RegisteredBundle:
        """Register the bundle of a run and make it the challenger."""
        try:
            self._client.get_registered_model(name)
        except MlflowException:
            self._client.create_registered_model(name)
        source = f"runs:/{run_id}/{BUNDLE_FOLDER}"
        version = self._client.create_model_version(name, source, run_id, tags={_DIGEST_TAG: sha256})
        self._client.set_registered_model_alias(name, CHALLENGER, str(version.version))
        return _registered(version)

    def resolve(self, name: str, alias_or_version: str) -> RegisteredBundle:
        """Find the version behind an alias, or a version itself.

        Raises
        ------
        PackGradeError
            ``BUNDLE_NOT_REGISTERED``, naming what was asked for and what there is.
        """
        try:
            if alias_or_version.isdigit():
                return _registered(self._client.get_model_version(name, alias_or_version))
            return _registered(self._client.get_model_version_by_alias(name, alias_or_version))
        except MlflowException as problem:
            raise PackGradeError(
                "BUNDLE_NOT_REGISTERED",
                f"The registry has no {name!r} under {alias_or_version!r}; it holds {self._held(name)}. "
                "Nothing was done. Train with `packgrade-train run`, or name a version it holds.",
            ) from problem

    def champion(self, name: str) -> RegisteredBundle | None:
        """Bundle that serves, if there is one."""
        try:
            return _registered(self._client.get_model_version_by_alias(name, CHAMPION))
        except MlflowException:
            return None

    def crown(self, bundle: RegisteredBundle) -> None:
        """Make a bundle the champion and remember the one before."""
        history = [*self._champion_history(bundle.name), bundle.version]
        self._set_champion(bundle.name, history)

    def dethrone(self, name: str) -> RegisteredBundle:
        """Make the champion before this one the champion again.

        Raises
        ------
        PackGradeError
            ``NO_EARLIER_CHAMPION`` if there was none.
        """
        history = self._champion_history(name)
        if len(history) < 2:
            raise PackGradeError(
                "NO_EARLIER_CHAMPION",
                f"{name!r} had {len(history)} champion(s) so far; there is none to go back to. Nothing was changed.",
            )
        self._set_champion(name, history[:-1])
        return self.resolve(name, CHAMPION)

    def download(self, bundle: RegisteredBundle, folder: Path) -> Path:
        """Fetch the bundle folder of a version into `folder`; returns the bundle's own folder."""
        source = f"runs:/{bundle.run_id}/{BUNDLE_FOLDER}"
        return Path(self._fetch(source, folder))

    def evaluation(self, bundle: RegisteredBundle, scratch_folder: Path) -> dict[str, Any]:
        """Figures the run behind a bundle was logged with."""
        source = f"runs:/{bundle.run_id}/{EVALUATION_FILE}"
        content = Path(self._fetch(source, scratch_folder)).read_text(encoding="utf-8")
        held: dict[str, Any] = json.loads(content)
        return held

    def _fetch(self, source: str, folder: Path) -> str:
        return str(mlflow.artifacts.download_artifacts(source, dst_path=str(folder), tracking_uri=self.uri))

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self.uri.startswith(_SQLITE):
            beside = Path(self.uri.removeprefix(_SQLITE)).resolve().parent / "mlartifacts" / name
            location = beside.as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def fill(self, run_id: str, record: RunRecord) -> None:
        """Write a record, without its children, into an open run."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, 0) for key, value in record.metrics.items() if pd.notna(value)]
        params = [Param(key, value) for key, value in record.parameters.items()]
        tags = [RunTag(f"data.{source.name}.sha256", source.sha256) for source in record.datasets]
        self._client.log_batch(run_id, metrics, params, tags)
        self._client.log_inputs(run_id, [_dataset_input(source) for source in record.datasets])
        self._client.log_dict(run_id, dict(record.evaluation), EVALUATION_FILE)
        if record.page:
            self._client.log_text(run_id, record.page, REPORT_FILE)
        for name, table in record.tables.items():
            self._client.log_text(run_id, table.to_csv(index=False), f"tables/{name}.csv")
        for name, picture in record.pictures.items():
            self._client.log_figure(run_id, picture, f"pictures/{name}.png")
        if record.bundle_folder is not None:
            self._client.log_artifacts(run_id, str(record.bundle_folder), BUNDLE_FOLDER)

    def _champion_history(self, name: str) -> list[str]:
        written = str(self._client.get_registered_model(name).tags.get(_HISTORY_TAG, ""))
        return [version for version in written.split(",") if version]

    def _set_champion(self, name: str, history: list[str]) -> None:
        self._client.set_registered_model_alias(name, CHAMPION, history[-1])
        self._client.set_registered_model_tag(name, _HISTORY_TAG, ",".join(history))

    def _held(self, name: str) -> str:
        versions = self._client.search_model_versions(f"name='{name}'")
        return ", ".join(f"version {version.version}" for version in versions) or "nothing of that name"


def _registered(version: ModelVersion) -> RegisteredBundle:
    return RegisteredBundle(
        str(version.name), str(version.version), str(version.run_id), str(version.tags.get(_DIGEST_TAG, ""))
    )


def _dataset_input(source: TrainingData) -> DatasetInput:
    dataset = Dataset(
        name=source.name,
        digest=source.sha256[:36],
        source_type="local",
        source=json.dumps({"name": source.name, "licence": source.licence, "sha256": source.sha256}),
        profile=json.dumps({"num_rows": source.row_count, "num_physical_cells": source.cell_count}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
