"""Metrics for Prometheus, and traces for OpenTelemetry.

`figures` are the metrics of this process. Every request updates them, so an update is only a few additions to plain
lists. docs/decisions/0013 explains why prometheus-client writes the output but does not count.
"""

from service.telemetry.board import Board, Seat
from service.telemetry.counting import Figures, total
from service.telemetry.exposition import CONTENT_TYPE, text

figures = Figures()

__all__ = ["CONTENT_TYPE", "Board", "Figures", "Seat", "figures", "text", "total"]
