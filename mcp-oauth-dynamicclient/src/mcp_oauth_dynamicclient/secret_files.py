"""Secrets from files: `GATEWAY_SECRET_FILE=/run/secrets/gateway_secret` in place of `GATEWAY_SECRET`.

What a process was started with can be read by everybody who may ask the container engine; a file cannot.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from .errors import SettingsError


class SecretFiles(PydanticBaseSettingsSource):
    """The secret settings whose name with `_FILE` is in the environment. An empty file is an unset secret.

    SettingsError when a file cannot be read, or when the secret itself is in the environment too.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._read(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        read = {name: self._read(name) for name in secret_fields(self.settings_cls.model_fields)}
        return {name: value for name, value in read.items() if value is not None}

    def _read(self, field_name: str) -> str | None:
        name = field_name.upper()
        path = os.environ.get(f"{name}_FILE")
        if not path:
            return None
        if os.environ.get(name):
            raise SettingsError(f"set either {name} or {name}_FILE, not both")
        try:
            return Path(path).read_text().strip() or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingsError(f"{name}_FILE: {path} cannot be read: {reason}") from error


def secret_fields(fields: dict[str, FieldInfo]) -> list[str]:
    return [
        name for name, field in fields.items() if SecretStr in (field.annotation, *get_args(field.annotation))
    ]
