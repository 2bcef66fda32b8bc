"""What each worker counts and measures, how the workers' figures come together, and how Prometheus reads them.

`figures` are this process's own; they are counted on the way of every request, so counting is a few additions to plain
lists and no more. docs/decisions/0013 says why prometheus-client writes the text and does not do the counting.
"""

from service.metrics.board import Board, Seat
from service.metrics.exposition import CONTENT_TYPE, text
from service.metrics.figures import Figures, total

figures = Figures()

__all__ = ["CONTENT_TYPE", "Board", "Figures", "Seat", "figures", "text", "total"]
