"""The model at single clients: the mean, the spread, the worst, and the table behind them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwright.federated.transport.sent import Sent
from trainwright.storage import Folder, cause_of
from trainwright.tracking import JournalWriter

Floats = npt.NDArray[np.float64]
PLACE = "client_metrics"
HISTOGRAM_BINS = 20


@dataclass
class AtClients:
    """Measures what was sent at some clients, and sums it up.

    Attributes:
        clients: which ones.
        measure: (sent, clients) -> named numbers of each.
        higher_is_better: name of a metric, without prefix -> its direction; None: unknown.
        folder: the run's folder, which gets a table for each round.
        journal: gets histograms over the clients.
    """

    clients: Sequence[int]
    measure: Callable[[Sent, Sequence[int]], list[dict[str, float]]]
    higher_is_better: Callable[[str], bool | None]
    folder: Folder
    journal: JournalWriter

    def __call__(self, sent: Sent, rounds: int) -> dict[str, float]:
        """Measure after so many rounds.

        Clients of which no sample is held out are passed over.

        Returns:
            Of each number its ``mean``, ``std`` and ``worst`` over the clients, and ``p10``, which
            a tenth of the clients do not reach.
        """
        pairs = zip(self.clients, self.measure(sent, self.clients), strict=True)
        found = {client: numbers for client, numbers in pairs if numbers}
        if not found:
            return {}
        names = next(iter(found.values()))
        columns = {name: np.array([one[name] for one in found.values()]) for name in names}
        self._keep(list(found), columns, rounds)
        summed: dict[str, float] = {}
        for name, values in columns.items():
            better = self.higher_is_better(name.partition("/")[2])
            summed |= {f"{name}/{part}": v for part, v in _summary(values, better).items()}
            counts, edges = np.histogram(values[np.isfinite(values)], HISTOGRAM_BINS)
            self.journal.histogram(rounds, name, float(edges[0]), float(edges[-1]), counts.tolist())
        return summed

    def _keep(self, clients: list[int], columns: dict[str, Floats], rounds: int) -> None:
        """A row for each client in a parquet file of its own."""
        import pyarrow as pa
        from pyarrow import parquet

        content = io.BytesIO()
        table = pa.table({"client": clients, **columns})
        parquet.write_table(table, content)
        try:
            self.folder.write_bytes(f"{PLACE}/round-{rounds:08d}.parquet", content.getvalue())
        except Exception as error:  # whatever the store's client raises; the summary counts
            text = f"the table of single clients could not be written: {cause_of(error)}"
            self.journal.event(text, rounds)


def spread_over(population: int, number: int | None) -> list[int]:
    """So many clients, evenly spread over the population; all where there is no number."""
    if number is None or number >= population:
        return list(range(population))
    return [population * i // number for i in range(number)]


def _summary(values: Floats, higher_is_better: bool | None) -> dict[str, float]:
    """Mean, standard deviation, and, where the direction is known, the bad end."""
    summary = {"mean": float(values.mean()), "std": float(values.std())}
    if higher_is_better is not None:
        sign = 1.0 if higher_is_better else -1.0
        summary["worst"] = sign * float((sign * values).min())
        summary["p10"] = sign * float(np.quantile(sign * values, 0.1))
    return summary
