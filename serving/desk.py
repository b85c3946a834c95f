"""One worker's grader and record: opened when they can be, opened again when they could not.

A service must come up while its record's disk is still being mounted, say that it is not ready, and
recover without a restart. So the desk opens lazily and lets every caller try; what fails is raised
to that caller alone. Nothing here knows HTTP.
"""

import logging
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from features.errors import PackGradeError
from serving.events.activations import record_activations
from serving.grading import Grader, open_record
from serving.record.store import RecordUnavailable
from serving.settings import Settings, software_version

if TYPE_CHECKING:
    from serving.record.ledger import Ledger

_log = logging.getLogger("packgrade.desk")


class NotReady(PackGradeError):  # noqa: N818 - reads as what it is: not ready
    """Bundle or policy cannot be used. Nothing was graded."""


class Desk:
    """Grader and record of one process; safe for many threads.

    Parameters
    ----------
    settings : Settings
        Where everything lies.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opening = Lock()
        self._ledger: Ledger | None = None
        self._grader: Grader | None = None
        self._is_activated = False
        self._was_ready: bool | None = None

    def ledger(self) -> "Ledger":
        """Return the record.

        Raises
        ------
        RecordUnavailable
            If it cannot be opened.
        """
        with self._opening:
            return self._opened_ledger()

    def grader(self) -> Grader:
        """Return the grader; the first time the record is told which bundle and policy are in force.

        Raises
        ------
        RecordUnavailable
            If the record cannot be opened, or not be told.
        NotReady
            If bundle or policy cannot be used, naming the cause.
        """
        with self._opening:
            ledger = self._opened_ledger()
            if self._grader is None:
                self._grader = self._opened_grader(ledger)
            if not self._is_activated:
                record_activations(ledger, self._grader, datetime.now(UTC))
                self._is_activated = True
            return self._grader

    def is_ready(self) -> bool:
        """Whether a battery can be graded and recorded now; a change is logged with its cause."""
        cause: PackGradeError | None = None
        try:
            self.grader()
            self.ledger().require_writable()
        except PackGradeError as error:
            cause = error
        ready = cause is None
        if ready != self._was_ready:
            _log.warning("not ready: %s", cause) if cause else _log.info("ready")
            self._was_ready = ready
        return ready

    def close(self) -> None:
        """Write what is waiting and let go of the record."""
        with self._opening:
            if self._ledger is not None:
                self._ledger.close()

    def _opened_ledger(self) -> "Ledger":
        if self._ledger is None:
            self._ledger = open_record(
                self.settings.record_file, software_version(), self.settings.witness_file, self.settings.log_key_file
            )
        return self._ledger

    def _opened_grader(self, ledger: "Ledger") -> Grader:
        try:
            return Grader.open(self.settings.bundle_folder, self.settings.policy_file, ledger)
        except RecordUnavailable:
            raise
        except PackGradeError as error:
            raise NotReady("NOT_READY", f"{error.code}: {error.message}", error.problems) from error
