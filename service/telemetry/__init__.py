"""Telemetry: figures for Prometheus, and traces for OpenTelemetry.

`figures` are this process's own; they are counted on the way of every request, so counting is a few additions to plain
lists and no more. docs/decisions/0013 says why prometheus-client writes the text and does not do the counting.
"""

from service.telemetry.board import Board, Seat
from service.telemetry.counting import Figures, total
from service.telemetry.exposition import CONTENT_TYPE, text

figures = Figures()

__all__ = ["CONTENT_TYPE", "Board", "Figures", "Seat", "figures", "text", "total"]
