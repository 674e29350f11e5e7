"""Base of the models that the workers exchange."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """An immutable model whose JSON keeps NaN and infinities, which a camera may send."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
