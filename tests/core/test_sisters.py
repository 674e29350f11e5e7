"""The example site files of the sister archivers: only the site file differs, not the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ccarchiver_bridge.messages.incoming import IgnoredAck, MessageDecoder
from ccarchiver_bridge.messages.outgoing import MessageBuilder
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.domain.exposure import Exposure, Instruction
from ccarchiver_core.domain.session import PairedForwarder
from ccarchiver_sal.commander import component

EXAMPLES = Path(__file__).parent.parent.parent / "deploy" / "examples"
LATISS = EXAMPLES / "atarchiver_config.yaml"
FULL_CAMERA = EXAMPLES / "mtarchiver_config.yaml"
FORWARDER = PairedForwarder(
    hostname="fwd",
    ip_address="127.0.0.1",
    consume_queue="fwd_consume",
    presence_key="f99_association",
)

OF_COMCAM = ("CC", "COMCAM")
"""Prefixes of the defaults that name ComCam. A sister's site file must replace them all."""


def wire_form(settings: Settings) -> dict[str, object]:
    """Return the fields of XFER_PARAMS as the Forwarder receives them."""
    exposure = Exposure(obsid="X_O_20261122_000001", job=1, target_dir="/data/2026-11-22/")
    message = MessageBuilder(settings).instruction(
        Instruction.XFER_PARAMS, exposure, ack_id="s_1", session_id="s", forwarder=FORWARDER
    )
    fields: dict[str, object] = yaml.safe_load(message.body())
    return fields


def test_latiss_has_one_ccd() -> None:
    settings = load_settings(LATISS)

    assert settings.ccds == (("00", "S00"),)
    assert settings.files_per_image == 1
    sent = wire_form(settings)
    assert sent["MSG_TYPE"] == "AT_FWDR_XFER_PARAMS"
    assert sent["DEVICE"] == "AT"
    assert sent["XFER_PARAMS"] == {"RAFT_LIST": "00", "RAFT_CCD_LIST": ["00/0"], "AT_FWDR": "fwd"}


def test_full_camera_has_205_ccds() -> None:
    settings = load_settings(FULL_CAMERA)

    assert settings.files_per_image == len(set(settings.ccds)) == 205
    science = [(raft, sensor) for raft, sensor in settings.ccds if sensor[1:].isdecimal()]
    assert len(science) == 21 * 9
    corners = {
        raft: [name for of, name in settings.ccds if of == raft]
        for raft in ("00", "04", "40", "44")
    }
    assert all(names == ["SG0", "SG1", "SW0", "SW1"] for names in corners.values())
    parameters = wire_form(settings)["XFER_PARAMS"]
    assert isinstance(parameters, dict)
    assert len(parameters["RAFT_LIST"]) == 25
    assert len(parameters["RAFT_CCD_LIST"]) == 21 * 3 + 4 * 2


@pytest.mark.parametrize("path", [LATISS, FULL_CAMERA], ids=lambda path: path.stem)
def test_sister_site_file_contains_no_name_of_comcam(path: Path) -> None:
    dumped = load_settings(path).model_dump(mode="json", exclude={"sentinel_service_name"})
    left = {
        key: value
        for key, value in dumped.items()
        if isinstance(value, str) and _is_of_comcam(value)
    }
    assert left == {}
    assert not [name for name in dumped["sal"].values() if _is_of_comcam(name)]


def _is_of_comcam(value: str) -> bool:
    words = value.upper().replace("%2F", "_").split("_")
    return (
        bool(set(words) & set(OF_COMCAM)) or value.startswith(OF_COMCAM) or value.startswith("cc")
    )


def test_names_of_comcam_are_found_in_the_default_settings() -> None:
    dumped = Settings().model_dump(mode="json")
    assert (
        len([value for value in dumped.values() if isinstance(value, str) and _is_of_comcam(value)])
        >= 12
    )


def test_items_xferd_ack_under_the_sisters_name_is_ignored() -> None:
    reader = MessageDecoder(load_settings(LATISS))
    assert isinstance(reader.read(b"MSG_TYPE: AT_ITEMS_XFERD_ACK\nACK_ID: s_1\n"), IgnoredAck)


def test_commander_addresses_the_csc_of_the_site_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IIP_CONFIG_DIR", raising=False)
    assert component() == "CCArchiver"

    (tmp_path / "ccarchiver_config.yaml").write_bytes(LATISS.read_bytes())
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    assert component() == "ATArchiver"
