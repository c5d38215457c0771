"""A run directory: the names of all files in it, its configuration and its log."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs.checkpoint import previous_path
from unbraid.runs.config import Budget, Config
from unbraid.runs.records import LogRecord, SessionRecord

__all__ = ["WORKER_LOCK", "Budget", "Config", "Run"]

# Lock that a worker process has on its run directory from start to end, besides the default lock
# that every trainer has. A worker waits for this lock, because an earlier worker, whose parent was
# killed, may still be stopping; a trainer raises an error if the directory is in use.
WORKER_LOCK = ".worker.lock"


@dataclass(frozen=True)
class Run:
    """A run directory and the files in it.

    Parameters
    ----------
    path : Path
        The directory. It need not exist yet.

    Examples
    --------
    >>> Run(Path("runs/first")).checkpoint_file.as_posix()
    'runs/first/checkpoint.safetensors'
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """Configuration of the run (TOML)."""
        return self.path / "config.toml"

    @property
    def log_file(self) -> Path:
        """Training log, one JSON record per line."""
        return self.path / "log.jsonl"

    @property
    def events_folder(self) -> Path:
        """Training log for TensorBoard."""
        return self.path / "events"

    @property
    def checkpoint_file(self) -> Path:
        """Latest checkpoint."""
        return self.path / "checkpoint.safetensors"

    @property
    def previous_checkpoint_file(self) -> Path:
        """Checkpoint before the latest, used if the latest is damaged."""
        return previous_path(self.checkpoint_file)

    @property
    def provenance_file(self) -> Path:
        """Versions, machine and times of every training session (JSON)."""
        return self.path / "provenance.json"

    @property
    def survey_file(self) -> Path:
        """Result of the method's survey of the dataset (JSON)."""
        return self.path / "survey.json"

    @property
    def stages_folder(self) -> Path:
        """Weights at the end of every stage of training."""
        return self.path / "stages"

    @property
    def codes_folder(self) -> Path:
        """Cache of the codes of the dataset."""
        return self.path / "codes"

    @property
    def scores_file(self) -> Path:
        """Scores on all images of the dataset (JSON)."""
        return self.path / "scores.json"

    def subset_scores_file(self, images: int) -> Path:
        """Return the file of the scores on a random subset of the dataset.

        Parameters
        ----------
        images : int
            Number of images in the subset.

        Returns
        -------
        Path
            A JSON file.
        """
        return self.path / f"scores-{images}.json"

    @property
    def information_file(self) -> Path:
        """Information terms of the code (JSON)."""
        return self.path / "information.json"

    @property
    def cascade_figure(self) -> Path:
        """KL of every latent dimension over the steps (PNG)."""
        return self.path / "cascade.png"

    @property
    def traversal_figure(self) -> Path:
        """Latent traversals (PNG)."""
        return self.path / "traversal.png"

    @property
    def traversal_animation(self) -> Path:
        """Latent traversals (GIF)."""
        return self.path / "traversal.gif"

    @property
    def comparison_figure(self) -> Path:
        """Comparison with a second run (PNG)."""
        return self.path / "compare.png"

    @property
    def stage_figure(self) -> Path:
        """Information at the end of every stage (PNG)."""
        return self.path / "stages.png"

    @property
    def encoder_file(self) -> Path:
        """Exported encoder (ONNX)."""
        return self.path / "encoder.onnx"

    @property
    def decoder_file(self) -> Path:
        """Exported decoder (ONNX)."""
        return self.path / "decoder.onnx"

    def exported_codes_file(self, extension: str) -> Path:
        """Return the file that `unbraid codes` writes by default.

        Parameters
        ----------
        extension : str
            "npz" or "parquet".

        Returns
        -------
        Path
            The file in the run directory.
        """
        return self.path / f"codes.{extension}"

    @property
    def result_file(self) -> Path:
        """Result of a finished run of a study (JSON)."""
        return self.path / "result.json"

    @property
    def eval_scores_file(self) -> Path:
        """Scores of a study's run at its evaluated steps (JSON)."""
        return self.path / "checkpoints.json"

    @property
    def sample_file(self) -> Path:
        """Codes of a sample of the dataset, for comparing the runs of a study."""
        return self.path / "sample.npz"

    @property
    def worker_log_file(self) -> Path:
        """Output of the worker process that trains a study's run."""
        return self.path / "worker.log"

    @property
    def written_by_training(self) -> list[Path]:
        """Files that training replaces atomically."""
        return [
            self.config_file,
            self.log_file,
            self.provenance_file,
            self.survey_file,
            self.checkpoint_file,
            self.previous_checkpoint_file,
        ]

    @property
    def portable_files(self) -> Sequence[Path]:
        """Existing files that another machine needs to continue, evaluate and report the run."""
        files = [
            self.config_file,
            self.log_file,
            self.checkpoint_file,
            self.provenance_file,
            *sorted(self.path.glob("scores*.json")),
            self.survey_file,
            *sorted(self.stages_folder.glob("*.safetensors")),
            self.result_file,
            self.eval_scores_file,
            self.sample_file,
            self.worker_log_file,
        ]
        return [file for file in files if file.exists()]

    def write_config(self, config: Config) -> None:
        """Write the configuration atomically.

        Parameters
        ----------
        config : Config
            Configuration of this run.

        Raises
        ------
        UserError or StorageError
            If the file cannot be written.
        """
        with written_atomically(self.config_file) as file:
            file.write(tomli_w.dumps(config.as_table()).encode())

    def read_config(self) -> Config:
        """Read the configuration.

        Returns
        -------
        Config
            Configuration of this run, with current names whichever version wrote it.

        Raises
        ------
        UserError
            If the file is missing, unreadable or not the configuration of a run.
        """
        try:
            table = tomllib.loads(self.config_file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(
                f"{self.path}: not a run directory, because it has no {self.config_file.name};"
                " give a run directory"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.config_file}: cannot be read ({error}); restore it from a copy"
            ) from error
        try:
            return Config.from_table(table)
        except UserError as error:
            # Here a name in backticks is a key of the file, not an argument of the caller.
            raise UserError(f"{self.config_file}: {str(error).replace('`', '')}") from error
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.config_file}: not the configuration of a run ({error}); restore it from"
                " a copy"
            ) from error

    def read_log(self) -> list[LogRecord]:
        """Read the log.

        Returns
        -------
        list of LogRecord
            Records in order of steps; empty if there is no log. An incomplete record, left by a
            process that was killed while writing it, and all records after it are left out.
        """
        records = []
        if self.log_file.exists():
            for line in self.log_file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    break
                if not isinstance(record, dict) or type(record.get("step")) is not int:
                    break
                records.append(record)
        return records

    def read_provenance(self) -> list[SessionRecord]:
        """Read the records of all training sessions.

        Returns
        -------
        list of SessionRecord
            Sessions in the order in which they ended. Empty if there is no provenance file.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        if not self.provenance_file.exists():
            return []
        try:
            sessions = json.loads(self.provenance_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise self._damaged_provenance(str(error)) from error
        if not isinstance(sessions, list) or not all(isinstance(one, dict) for one in sessions):
            raise self._damaged_provenance("not a list of sessions")
        return sessions

    def _damaged_provenance(self, reason: str) -> UserError:
        return UserError(
            f"{self.provenance_file}: cannot be read ({reason}); restore it, or remove it"
        )
