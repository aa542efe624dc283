"""Figures for Prometheus. Labels are names of services and rules, never anything of a patient."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """One registry per app, so that tests and several apps in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("calcinosis_requests_total", "Requests", ["service", "status"], registry=self.registry)
        self.seconds = Histogram(
            "calcinosis_request_seconds", "Seconds until the response", ["service"], registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )  # fmt: skip
        self.cards = Counter("calcinosis_cards_total", "Cards shown", ["service", "indicator"], registry=self.registry)
        self.feedback = Counter("calcinosis_feedback_total", "Feedback on cards", ["service", "rule", "outcome"], registry=self.registry)
        self.together = Histogram(
            "calcinosis_records_together", "Records that a worker took at once", registry=self.registry, buckets=(1, 2, 4, 8, 16, 32)
        )
        self.waiting = Gauge("calcinosis_waiting", "Records that wait for a worker", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
