"""The routes of upkeep: for administrators, one act at a time, each answered when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from watchkeeper.app.upkeep import By, Upkeep
from watchkeeper.schemas.access import caller_of
from watchkeeper.schemas.errors import InputError, SettingsError


class RetentionAsked(BaseModel):
    """Whether to let go, or only to say what would go."""

    dry_run: bool = False


class ErasureAsked(BaseModel):
    """Whose rows: each KEY=VALUE or a prediction's id; whether to remove them, or only to count."""

    subjects: Annotated[list[str], Field(min_length=1, max_length=1000)]
    dry_run: bool = False


class BackupAsked(BaseModel):
    """Where the backup goes: a new folder on the server's machine, as an absolute path."""

    dest: str


@dataclass(frozen=True, slots=True)
class UpkeepRoutes:
    """Builds the router over the upkeep of one data folder."""

    upkeep: Upkeep

    def router(self) -> APIRouter:
        """Give ``POST /v1/admin/...``."""
        router = APIRouter(tags=["admin"])
        router.add_api_route(
            "/v1/admin/retention", self.retention, methods=["POST"], summary="Let go of what is older than it is kept"
        )
        router.add_api_route("/v1/admin/erase", self.erase, methods=["POST"], summary="Remove a person's rows")
        router.add_api_route(
            "/v1/admin/backup", self.backup, methods=["POST"], summary="Copy the whole data folder, while it is in use"
        )
        return router

    def backup(self, request: Request, asked: BackupAsked) -> dict[str, Any]:
        """Take a backup now."""
        try:
            return self.upkeep.backup(by(request), Path(asked.dest))
        except SettingsError as error:
            raise InputError(str(error)) from None

    def erase(self, request: Request, asked: ErasureAsked) -> dict[str, Any]:
        """Erase now."""
        return self.upkeep.erase(by(request), asked.subjects, dry_run=asked.dry_run)

    def retention(self, request: Request, asked: RetentionAsked) -> dict[str, Any]:
        """Run retention now."""
        return self.upkeep.retention(by(request), dry_run=asked.dry_run)


def by(request: Request) -> By:
    """Say who asks."""
    caller = caller_of(request.scope)
    return By(caller.actor or "anonymous", caller.label)
