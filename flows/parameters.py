"""Parameters of flows, typed so that Prefect's pages offer the values and its server checks them."""

from typing import Annotated, Literal

from pydantic import Field

from falcon.config import profile_names
from falcon.env import find_root

Start = Literal["", "champion", "base"]
"""Where a training starts; "": as `train.start` says."""

Profile = Annotated[str, Field(json_schema_extra={"enum": ["", *profile_names(find_root())]})]
"""A profile; "": the values of params.yaml."""
