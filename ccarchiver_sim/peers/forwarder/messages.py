"""The messages that a Forwarder sends, with the fields in the sequence in which it writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.wire import Message
    from ccarchiver_sim.peers.forwarder.options import Identity
    from ccarchiver_sim.peers.forwarder.scoreboard import Instruction
    from ccarchiver_sim.peers.forwarder.sensors import Sensor

TRANSFERRED: int = 0
"""STATUS_CODE of a transferred file."""


def acknowledgement(message_type: str, image_id: str, component: str, ack_id: str) -> Message:
    """Return the answer to a message about an image."""
    return {
        "MSG_TYPE": f"{message_type}_ACK",
        "IMAGE_ID": image_id,
        "COMPONENT": component,
        "ACK_ID": ack_id,
    }


def associated_ack(presence_key: str, ack_id: str) -> Message:
    """Return the answer to ASSOCIATED, with this Forwarder's presence key."""
    return {"MSG_TYPE": "ASSOCIATED_ACK", "ASSOCIATION_KEY": presence_key, "ACK_ID": ack_id}


def scan_ack() -> Message:
    """Return the answer to SCAN, which names neither the SCAN nor its key."""
    return {"MSG_TYPE": "SCAN_ACK"}


def list_entry(identity: Identity) -> Message:
    """Return the entry in the list of free Forwarders."""
    return {
        "hostname": identity.hostname,
        "ip_address": identity.ip,
        "consume_queue": identity.consume_queue,
    }


def transfer_completed(
    image_id: str, sensor: Sensor, filename: str, instruction: Instruction, reply_queue: str
) -> Message:
    """Return the message to the Controller that a file is in its staging directory."""
    return {
        "MSG_TYPE": "FILE_TRANSFER_COMPLETED",
        "FILENAME": filename,
        "OBSID": image_id,
        "RAFT": sensor.raft,
        "SENSOR": sensor.name,
        "SESSION_ID": instruction.session_id,
        "JOB_NUM": instruction.job_num,
        "REPLY_QUEUE": reply_queue,
    }


def retrieved(image_id: str, sensor: Sensor, filename: str, description: str) -> Message:
    """Return the status for the archiver of one transferred file."""
    return {
        "MSG_TYPE": "IMAGE_RETRIEVAL_FOR_ARCHIVING",
        "OBSID": image_id,
        "RAFT": sensor.raft,
        "SENSOR": sensor.name,
        "FILENAME": filename,
        "STATUS_CODE": TRANSFERRED,
        "DESCRIPTION": description,
    }


def not_retrieved(image_id: str, code: int, description: str) -> Message:
    """Return the status for the archiver of an image that failed; it names no file."""
    return {
        "MSG_TYPE": "IMAGE_RETRIEVAL_FOR_ARCHIVING",
        "OBSID": image_id,
        "RAFT": "",
        "SENSOR": "",
        "FILENAME": "",
        "STATUS_CODE": code,
        "DESCRIPTION": description,
    }
