"""Delivery of one image: write its files, copy them, notify the Controller and the archiver."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.forwarder import fitsfile, header, messages, transfer
from ccarchiver_sim.peers.forwarder.options import COPY_FAILED, HEADER_FAILED, PIXELS_FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.peers.common.rabbit import RabbitConnection
    from ccarchiver_sim.peers.common.site import Site
    from ccarchiver_sim.peers.forwarder.options import ForwarderOptions
    from ccarchiver_sim.peers.forwarder.scoreboard import Instruction
    from ccarchiver_sim.peers.forwarder.sensors import Sensor

EXIT_DIED: Final = 70
"""Exit code of a deliberate death, which a fault campaign can distinguish from a failure."""

log = logging.getLogger(__name__)


def die(link: RabbitConnection, reason: str) -> None:
    """End the process as a crash does, after all publications are confirmed."""
    log.warning("ending at once: %s", reason)
    link.flush()
    os._exit(EXIT_DIED)


class Delivery:
    """Delivery of the files of images that are read out and have a header.

    Parameters
    ----------
    site : `Site`
        Settings with the queues and the checksum type.
    options : `ForwarderOptions`
        Identity and misbehaviour of this Forwarder.
    link : `RabbitConnection`
        Connection on which to publish.
    """

    def __init__(self, site: Site, options: ForwarderOptions, link: RabbitConnection) -> None:
        self._site = site
        self._options = options
        self._link = link
        self._folder = options.work_dir / "fits"

    def deliver(
        self,
        image_id: str,
        instruction: Instruction,
        sensors: tuple[Sensor, ...],
        header_file: Path,
    ) -> bool:
        """Deliver an image; return False if it failed, after a status to the archiver."""
        simulated_failure = self._options.misbehaviour.fail_code
        if simulated_failure is not None:
            self.report_failure(image_id, simulated_failure, "failing on request (--fail-code)")
            return False
        files: list[Path] = []
        try:
            target = transfer.Target.parse(instruction.target)
            keywords = header.read_keywords(header_file)
            for sensor in sensors:
                path = self._folder / sensor.filename(image_id)
                files.append(path)
                self._make_and_copy(image_id, sensor, path, keywords, target)
            self._report_files(image_id, instruction, sensors, target)
        except header.HeaderError as error:
            self.report_failure(image_id, HEADER_FAILED, str(error))
        except fitsfile.PixelError as error:
            self.report_failure(image_id, PIXELS_FAILED, str(error))
        except transfer.CopyError as error:
            self.report_failure(image_id, COPY_FAILED, str(error))
        else:
            header_file.unlink(missing_ok=True)
            log.info("%s: all %d files delivered to %s", image_id, len(files), instruction.target)
            return True
        finally:
            for path in files:
                path.unlink(missing_ok=True)
        return False

    def report_failure(self, image_id: str, code: int, description: str) -> None:
        """Send the archiver a status that an image cannot be delivered."""
        log.error("%s: %s %s", image_id, code, description)
        self._telemetry(messages.not_retrieved(image_id, code, description))

    def _make_and_copy(
        self,
        image_id: str,
        sensor: Sensor,
        path: Path,
        keywords: list[header.Keyword],
        target: transfer.Target,
    ) -> None:
        checksum_type = self._site.settings.archive.checksum_type
        checksum = fitsfile.write(
            path, image_id, sensor, keywords, checksum_type, self._options.layout
        )
        transfer.copy(path, target, self._options.identity.ip)
        log.info("%s copied, %s %s", path.name, checksum_type, checksum)

    def _report_files(
        self,
        image_id: str,
        instruction: Instruction,
        sensors: tuple[Sensor, ...],
        target: transfer.Target,
    ) -> None:
        settings = self._site.settings
        for number, sensor in enumerate(sensors, start=1):
            name = sensor.filename(image_id)
            path = target.path_of(name)
            notice = messages.transfer_completed(
                image_id, sensor, path, instruction, self._options.identity.consume_queue
            )
            self._link.publish(settings.archive_ctrl_consume_queue, wire.encode_quoted(notice))
            description = f"{name} is successfully transferred to {instruction.target}"
            self._telemetry(messages.retrieved(image_id, sensor, path, description))
            if number == self._options.misbehaviour.die_mid_transfer:
                die(self._link, f"{number} files of {image_id} delivered (--die-mid-transfer)")

    def _telemetry(self, report: wire.Message) -> None:
        copies = 2 if self._options.misbehaviour.duplicate_telemetry else 1
        for _ in range(copies):
            self._link.publish(self._site.settings.telemetry_queue, wire.encode_quoted(report))
