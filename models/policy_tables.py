"""Tables of a policy file that several sections share: what every table of it must say."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from features.feature_set import Method
from features.findings import Message
from models.decision import NextTest

Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Table(BaseModel):
    """A table without unknown keys."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Sourced(Table):
    """A table that says where it comes from and what authority it has."""

    source: Text
    status: Text


class DescribedTest(Table):
    """A test the policy may ask for."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    method: Method
    minutes: Annotated[float, Field(gt=0.0, le=1e5)]
    instruction_en: Text
    instruction_zh: Text

    def next_test(self) -> NextTest:
        """The test as a decision names it."""
        return NextTest(self.id, self.method, self.minutes, Message(self.instruction_en, self.instruction_zh))
