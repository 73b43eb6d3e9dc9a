"""Results kept in memory, for use as a library without a run folder."""

from collections.abc import Iterable

from analog_samson.results.records import Record


class MemoryStore:
    """Answers to ``has``, ``commit`` and ``records`` as a run folder does, and forgets at the end."""

    def __init__(self) -> None:
        self._records: list[Record] = []

    def commit(self, records: Iterable[Record]) -> None:
        self._records.extend(records)

    def has(
        self,
        *,
        stage: str,
        adabs: bool,
        instance: int,
        time_seconds: float | None = None,
        sigma_c: float | None = None,
    ) -> bool:
        wanted = (stage, adabs, instance, time_seconds, sigma_c)
        return any((r.stage, r.adabs, r.instance, r.time_seconds, r.sigma_c) == wanted for r in self._records)

    def records(self) -> list[Record]:
        return list(self._records)
