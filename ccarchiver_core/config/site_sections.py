"""The sections of a site file: their keys with defaults and meanings, and their rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Self

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, model_validator

from ccarchiver_core.config.value_types import (
    AbsolutePath,
    Boards,
    ComponentName,
    Host,
    Login,
    Name,
    RaftOrRafts,
    Seconds,
    Sensors,
)

CCDS_PER_BOARD = 3
"""CCDs that a raft electronics board reads. ComCam's three boards make nine files per image."""


class ConfigSection(BaseModel):
    """Base of all sections: keys are upper case, unknown keys are errors, all are described."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=str.upper),
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,  # `ccarchiver config show` prints them
    )


class Beacon(ConfigSection):
    """The association key: its time to live, and how often it is written."""

    seconds_to_expire: Annotated[int, Field(gt=0)] = 10
    """Time to live of the association key; when it has expired, the Forwarder registers again."""
    seconds_to_update: Seconds = 3.0
    """Interval at which the association key is written; shorter than SECONDS_TO_EXPIRE."""

    @model_validator(mode="after")
    def _updated_before_it_expires(self) -> Self:
        if self.seconds_to_update >= self.seconds_to_expire:
            msg = (
                f"SECONDS_TO_UPDATE ({self.seconds_to_update:g} s) must be smaller than "
                f"SECONDS_TO_EXPIRE ({self.seconds_to_expire} s), otherwise the association key "
                "expires between two writes; 3 and 10 are usual"
            )
            raise ValueError(msg)
        return self


class Csc(ConfigSection):
    """Settings below ``CSC``."""

    beacon: Beacon = Beacon()
    """Times of the association key."""


class Archive(ConfigSection):
    """Destination of the files: login and address for the Forwarder, and the staging trees."""

    archive_login: Login = "ARC"
    """Login with which a Forwarder copies files to ARCHIVE_IP; first part of TARGET_LOCATION."""
    archive_ip: Host = "127.0.0.1"
    """Address to which a Forwarder copies files, as seen from the Forwarder."""
    checksum_type: Name = "MD5"
    """Checksum that the peers use for files; the archiver itself computes none."""
    forwarder_staging: AbsolutePath = Path("/data/staging/ccforwarder")
    """Tree on ARCHIVE_IP to which Forwarders copy; the Controller assigns the directories in it."""
    oods_staging: AbsolutePath = Path("/data/staging/oods")
    """Tree of the OODS, in which the Controller creates hard links.
    It must be on the same file system as FORWARDER_STAGING."""
    dbb_staging: AbsolutePath = Path("/data/staging/dbb")
    """Tree of the data backbone, in which the Controller creates hard links as well."""


class SalNames(ConfigSection):
    """Names of the SAL components: this archiver's CSC, and those whose events it receives."""

    archiver: ComponentName = "CCArchiver"
    """The CSC of this archiver."""
    camera: ComponentName = "CCCamera"
    """The camera whose startIntegration and endReadout it receives."""
    header_service: ComponentName = "CCHeaderService"
    """The header service whose largeFileObjectAvailable it receives."""

    @model_validator(mode="after")
    def _three_components(self) -> Self:
        if len({self.archiver, self.camera, self.header_service}) < len(SalNames.model_fields):
            msg = (
                f"ARCHIVER ({self.archiver}), CAMERA ({self.camera}) and HEADER_SERVICE "
                f"({self.header_service}) must be three different components; "
                "write the SAL name of each"
            )
            raise ValueError(msg)
        return self

    @property
    def all(self) -> tuple[str, str, str]:
        """All three names, for the IDL files."""
        return self.archiver, self.camera, self.header_service


class Wavefront(ConfigSection):
    """Rafts, boards and sensors of an image (the section ``ATS`` of a site file)."""

    wfs_raft: RaftOrRafts = "22"
    """The raft, for RAFT_LIST; a list if there are several rafts."""
    wfs_ccd: Boards = ("22/0", "22/1", "22/2")
    """The boards as ``raft/board``, for RAFT_CCD_LIST.
    Each has three CCDs, so three files, unless SENSORS names its sensors."""
    sensors: Annotated[dict[str, Sensors], Field(examples=[{"22/0": ["S00"]}])] = {}
    """Sensors of boards with other than three CCDs: LATISS' ``{"00/0": [S00]}``, corner rafts."""

    @model_validator(mode="after")
    def _boards_belong_together(self) -> Self:
        strangers = sorted(set(self.sensors) - set(self.wfs_ccd))
        if strangers:
            msg = (
                f"SENSORS names the board {strangers[0]}, which WFS_CCD does not have; "
                "add it to WFS_CCD, or remove it from SENSORS"
            )
            raise ValueError(msg)
        if not isinstance(self.wfs_raft, str):
            bare = [board for board in self.wfs_ccd if "/" not in board]
            if bare:
                msg = (
                    f"WFS_RAFT has several rafts, so the board {bare[0]} of WFS_CCD must include "
                    f"its raft, in the form raft/board: write {self.wfs_raft[0]}/{bare[0]}, "
                    "or the raft that the board belongs to"
                )
                raise ValueError(msg)
        self._require_same_rafts()
        ccds = [ccd for board in self.wfs_ccd for ccd in self.sensors_of(board)]
        twice = sorted(ccd for ccd, count in Counter(ccds).items() if count > 1)
        if twice:
            msg = (
                f"the boards of WFS_CCD have raft {twice[0][0]} sensor {twice[0][1]} twice; "
                "each sensor of a raft must occur once: remove one of the boards, "
                "or name its sensors in SENSORS"
            )
            raise ValueError(msg)
        return self

    def _require_same_rafts(self) -> None:
        """Require that the boards are those of the rafts: peers get both, RAFT_LIST and the boards.

        A board that does not name its raft belongs to the only one.
        """
        rafts = {self.wfs_raft} if isinstance(self.wfs_raft, str) else set(self.wfs_raft)
        of_boards = {board: board.rpartition("/")[0] for board in self.wfs_ccd if "/" in board}
        for board, raft in of_boards.items():
            if raft not in rafts:
                msg = (
                    f"WFS_CCD has the board {board}, but WFS_RAFT does not have its raft {raft}; "
                    "write the same rafts in both, with their leading zeros"
                )
                raise ValueError(msg)
        without = sorted(rafts - set(of_boards.values()))
        if without and len(of_boards) == len(self.wfs_ccd):
            msg = (
                f"WFS_RAFT has the raft {without[0]}, but WFS_CCD has no board of it; "
                f"add its boards to WFS_CCD ({without[0]}/0 is the first), "
                "or remove the raft from WFS_RAFT"
            )
            raise ValueError(msg)

    @property
    def raft(self) -> str | tuple[str, ...]:
        """The raft, for RAFT_LIST; a tuple if there are several rafts."""
        return self.wfs_raft

    def sensors_of(self, board: str) -> tuple[tuple[str, str], ...]:
        """Return raft and sensor of each CCD that a board reads.

        Unless SENSORS has others, board 22/1 reads S10, S11 and S12.
        """
        raft, _, number = board.rpartition("/")
        names = self.sensors.get(board) or tuple(f"S{number}{ccd}" for ccd in range(CCDS_PER_BOARD))
        return tuple((raft or str(self.wfs_raft), name) for name in names)

    @property
    def ccds(self) -> tuple[str, ...]:
        """The boards as ``raft/board``, for RAFT_CCD_LIST."""
        return self.wfs_ccd


class Tls(ConfigSection):
    """Encryption of a connection. The server's certificate and name are always verified."""

    use: bool = False
    """Whether the connection is encrypted. The port must then be a TLS port.
    For RabbitMQ it is usually 5671."""
    ca_file: Annotated[AbsolutePath | None, Field(examples=["/etc/ccarchiver/ca.pem"])] = None
    """Certificates (PEM) of the trusted authorities; without it, those of the system."""
    cert_file: Annotated[AbsolutePath | None, Field(examples=["/etc/ccarchiver/own.pem"])] = None
    """Certificate (PEM) of the archiver, if the server requires one."""
    key_file: Annotated[AbsolutePath | None, Field(examples=["/etc/ccarchiver/own.key"])] = None
    """Private key of CERT_FILE (PEM, without a password); no other user may read this file."""

    @model_validator(mode="after")
    def _all_or_nothing(self) -> Self:
        files = [self.ca_file, self.cert_file, self.key_file]
        if not self.use and any(files):
            msg = (
                "CA_FILE, CERT_FILE or KEY_FILE is set, but the connection is not encrypted; "
                "add USE: true, or remove the files"
            )
            raise ValueError(msg)
        if (self.cert_file is None) != (self.key_file is None):
            there, missing = (
                ("CERT_FILE", "KEY_FILE") if self.cert_file else ("KEY_FILE", "CERT_FILE")
            )
            msg = f"{there} is set, but {missing} is not; add {missing}, or remove {there}"
            raise ValueError(msg)
        return self
