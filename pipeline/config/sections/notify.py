"""Section `notify`: who learns how a run ended."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictStr

from sections import Section, Text

Event = Literal["published", "refused", "failed", "awaiting_approval", "drift", "rolled_back"]
Variable = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
# Records contain the pipeline file, so an address with a password or a query with a token is refused.
PlainUrl = Annotated[StrictStr, Field(pattern=r"^https?://[^/@\s?#]+(/[^\s?#]*)?$")]


class Notify(Section):
    """Where notices are sent. Secrets are in environment variables. The file has their names.

    Attributes:
      on: how a run must end for a notice. `refused` means by the data gate, a blessing rule, the canary or a replay.
        `rolled_back` means that `publish.watch` withdrew the version later. `drift` means that the data differ from
        earlier data, or logged requests from the data, beyond a bound.
      webhook: the URL that gets the notice as JSON, without secrets.
      webhook_secret: the variable with the key that signs the JSON.
      slack: the variable with the URL of a Slack incoming webhook, or of a service that accepts the same text.
      command: a program with its arguments, which gets the JSON on standard input.
    """

    on: Annotated[tuple[Event, ...], Field(min_length=1)] = get_args(Event)
    webhook: PlainUrl | None = None
    webhook_secret: Variable | None = None
    slack: Variable | None = None
    command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The keys of the targets that are set."""
        return tuple(name for name in ("webhook", "slack", "command") if getattr(self, name) is not None)
