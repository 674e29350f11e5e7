"""The failpoints of the workers: named places between an effect and its record.

See `ccarchiver_core.base.failpoint`.
"""

STATUS_TOPICS = ("imageRetrievalForArchiving", "imageInOODS")
INSTRUCTIONS = ("new_item", "xfer_params", "end_readout", "header_ready")

POINTS: dict[str, tuple[str, ...]] = {
    "sal": (
        "sal.before_transaction",
        "sal.after_transaction",
        "sal.before_event_transaction",
        "sal.after_event_transaction",
        *(f"sal.{when}_{topic}" for topic in STATUS_TOPICS for when in ("before", "after")),
    ),
    "bridge": (
        "bridge.before_transaction",
        "bridge.after_transaction",
        "bridge.before_status_transaction",
        "bridge.before_amqp_ack",
        *(
            f"bridge.{when}_{instruction}"
            for instruction in INSTRUCTIONS
            for when in ("before", "after")
        ),
        *(
            f"bridge.{when}_ack_of_{instruction}"
            for instruction in INSTRUCTIONS
            for when in ("before", "after")
        ),
    ),
    "health": ("health.before_transaction", "health.after_transaction"),
}
"""For each worker, the failpoints that every image or every few seconds reach."""

PAIRING_POINTS = ("bridge.before_associated", "bridge.after_associated")
"""Failpoints that are reached only when a Forwarder is paired."""

SCAN_POINTS = ("bridge.before_scan", "bridge.after_scan")
"""Failpoints that are reached only when a Forwarder is asked for the camera's images."""
