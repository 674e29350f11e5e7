"""The failpoints of the workers: named places between an effect and its record.

See `ccarchiver_core.base.failpoint`.
"""

STATUS_TOPICS = ("imageRetrievalForArchiving", "imageInOODS")
ORDERS = ("new_item", "xfer_params", "end_readout", "header_ready")

POINTS: dict[str, tuple[str, ...]] = {
    "sal": (
        "sal.before_step",
        "sal.after_step",
        "sal.before_event_transaction",
        "sal.after_event_transaction",
        *(f"sal.{when}_{topic}" for topic in STATUS_TOPICS for when in ("before", "after")),
    ),
    "bridge": (
        "bridge.before_step",
        "bridge.after_step",
        "bridge.before_status_transaction",
        "bridge.before_amqp_ack",
        *(f"bridge.{when}_{order}" for order in ORDERS for when in ("before", "after")),
        *(f"bridge.{when}_ack_of_{order}" for order in ORDERS for when in ("before", "after")),
    ),
    "health": ("health.before_step", "health.after_step"),
}
"""For each worker, the failpoints that every image or every few seconds reach."""

PAIRING_POINTS = ("bridge.before_associated", "bridge.after_associated")
"""Failpoints that are reached only when a Forwarder is paired."""
