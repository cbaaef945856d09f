"""The tables of facts.duckdb, as numbered steps: a new file runs all, an older one the rest.

Times are naive UTC. Facts carry no primary key: an index costs a hundred times the anti-join that keeps events
unique (see ``load``). Rollups only grow by addition: a read sums over the rows of a key.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from watchkeeper.schemas.errors import SettingsError

_TRAFFIC_COLUMNS = """
    bucket TIMESTAMP, service VARCHAR, model VARCHAR, model_version VARCHAR, provider VARCHAR,
    dim VARCHAR, value VARCHAR,
    requests BIGINT, errors BIGINT, late BIGINT, due BIGINT, checked BIGINT, check_failures BIGINT, blocked BIGINT,
    deferred BIGINT, weighed BIGINT,
    attempts BIGINT, retried BIGINT, fallbacks BIGINT, latency_n BIGINT, latency_sum_ms DOUBLE,
    tokens_input BIGINT, tokens_cache_read BIGINT, tokens_cache_write BIGINT, tokens_output BIGINT,
    tokens_reasoning BIGINT, cost DOUBLE, cost_n BIGINT
"""
_LATENCY_COLUMNS = "bucket TIMESTAMP, service VARCHAR, model VARCHAR, log_bucket INTEGER, n BIGINT"
_UNSENT_TRAFFIC_COLUMNS = _TRAFFIC_COLUMNS.replace("BIGINT", "DOUBLE")
_UNSENT_LATENCY_COLUMNS = _LATENCY_COLUMNS.replace("BIGINT", "DOUBLE")

PREDICTION_TYPES: Mapping[str, str] = {
    "id": "VARCHAR",
    "ts": "TIMESTAMP",
    "received_at": "TIMESTAMP",
    "service": "VARCHAR",
    "model": "VARCHAR",
    "model_version": "VARCHAR",
    "system": "VARCHAR",
    "provider": "VARCHAR",
    "prompt": "VARCHAR",
    "prompt_version": "VARCHAR",
    "config_version": "VARCHAR",
    "environment": "VARCHAR",
    "site": "VARCHAR",
    "prediction": "VARCHAR",
    "prediction_number": "DOUBLE",
    "score": "DOUBLE",
    "confidence": "DOUBLE",
    "confidence_threshold": "DOUBLE",
    "latency_ms": "DOUBLE",
    "ttft_ms": "DOUBLE",
    "status": "VARCHAR",
    "error_class": "VARCHAR",
    "tokens_input": "BIGINT",
    "tokens_cache_read": "BIGINT",
    "tokens_cache_write": "BIGINT",
    "tokens_output": "BIGINT",
    "tokens_reasoning": "BIGINT",
    "cost": "DOUBLE",
    "currency": "VARCHAR",
    "attempts": "INTEGER",
    "fallback_from": "VARCHAR",
    "fallback_reason": "VARCHAR",
    "workflow": "VARCHAR",
    "step": "VARCHAR",
    "tool": "VARCHAR",
    "agent": "VARCHAR",
    "operation": "VARCHAR",
    "trace_id": "VARCHAR",
    "parent_id": "VARCHAR",
    "conversation": "VARCHAR",
    "finish_reason": "VARCHAR",
    "service_tier": "VARCHAR",
    "sample_weight": "DOUBLE",
    "needed_by": "TIMESTAMP",
    "used_at": "TIMESTAMP",
    "reason_codes": "VARCHAR[]",
    "checks": "STRUCT(name VARCHAR, kind VARCHAR, passed BOOLEAN, blocked BOOLEAN, score DOUBLE)[]",
    "clock_skew": "BOOLEAN",
    "server_ts": "BOOLEAN",
    "attempt_of": "VARCHAR",
    "extra": "VARIANT",
}
"""Every column of a prediction, in order."""
PREDICTION_ALWAYS = (
    "id",
    "ts",
    "received_at",
    "service",
    "model",
    "status",
    "currency",
    "attempts",
    "clock_skew",
    "server_ts",
)
"""Those that every event fills; the others are made when one does (see ``prediction_rows``)."""


def _created(table: str, columns: Mapping[str, str]) -> str:
    return f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"


STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE inbox_watermark (seq BIGINT, into_next BIGINT)",
        "INSERT INTO inbox_watermark VALUES (0, 0)",
        "CREATE TABLE minutes_kept (since TIMESTAMP)",
        "INSERT INTO minutes_kept VALUES (TIMESTAMP '1970-01-01')",
        _created("predictions", {name: PREDICTION_TYPES[name] for name in PREDICTION_ALWAYS}),
        """CREATE TABLE held (
            key VARCHAR, part VARCHAR, service VARCHAR, held_at TIMESTAMP, told BOOLEAN, body BLOB)""",
        "CREATE TABLE joins (hour TIMESTAMP, service VARCHAR, fate VARCHAR, n BIGINT)",
        "CREATE TABLE models (service VARCHAR, model VARCHAR, first_ts TIMESTAMP, last_ts TIMESTAMP)",
        """CREATE TABLE feature_tables (
            service VARCHAR, model VARCHAR, table_name VARCHAR, schema_version INTEGER, since TIMESTAMP)""",
        """CREATE TABLE feature_columns (
            table_name VARCHAR, name VARCHAR, role VARCHAR, kind VARCHAR, column_name VARCHAR)""",
        """CREATE TABLE feature_runs (
            table_name VARCHAR, name VARCHAR, first_ts TIMESTAMP, last_ts TIMESTAMP, n BIGINT, wrong BIGINT)""",
        """CREATE TABLE outcomes (
            prediction_id VARCHAR, prediction_ts TIMESTAMP, service VARCHAR, value VARCHAR, value_number DOUBLE,
            known_at TIMESTAMP, received_at TIMESTAMP, source VARCHAR, evaluation VARCHAR)""",
        """CREATE TABLE pending_outcomes (
            prediction_id VARCHAR, prediction_ts TIMESTAMP, service VARCHAR, value VARCHAR, value_number DOUBLE,
            known_at TIMESTAMP, received_at TIMESTAMP, source VARCHAR, evaluation VARCHAR)""",
        """CREATE TABLE matched (
            prediction_id VARCHAR, prediction_ts TIMESTAMP, service VARCHAR, model VARCHAR, model_version VARCHAR,
            prediction VARCHAR, prediction_number DOUBLE, score DOUBLE, value VARCHAR, value_number DOUBLE,
            correct BOOLEAN, known_at TIMESTAMP, received_at TIMESTAMP, source VARCHAR, evaluation VARCHAR,
            superseded_at TIMESTAMP)""",
        """CREATE TABLE reviews (
            prediction_id VARCHAR, prediction_ts TIMESTAMP, ts TIMESTAMP, received_at TIMESTAMP, service VARCHAR,
            decision VARCHAR, minutes DOUBLE, role VARCHAR, reason VARCHAR)""",
        """CREATE TABLE changes (
            ts TIMESTAMP, received_at TIMESTAMP, kind VARCHAR, title VARCHAR, service VARCHAR, model VARCHAR,
            version VARCHAR, url VARCHAR)""",
        """CREATE TABLE gpu_samples (
            ts TIMESTAMP, uuid VARCHAR, mig VARCHAR, host VARCHAR, gpu VARCHAR, model_name VARCHAR, workload VARCHAR,
            utilization DOUBLE, memory_used_mib DOUBLE, memory_free_mib DOUBLE, power_w DOUBLE, temperature_c DOUBLE,
            sm_clock_mhz DOUBLE, tensor_active DOUBLE, energy_mj DOUBLE, xid BIGINT)""",
        "CREATE TABLE facts_kept (service VARCHAR, since TIMESTAMP)",
        """CREATE TABLE rejects (
            id VARCHAR, received_at TIMESTAMP, kind VARCHAR, batch VARCHAR, row_index INTEGER, field VARCHAR,
            reason VARCHAR, service VARCHAR, raw BLOB, replayed_at TIMESTAMP)""",
        """CREATE TABLE ingest (
            hour TIMESTAMP, service VARCHAR, kind VARCHAR, loaded BIGINT, duplicates BIGINT, rejected BIGINT,
            too_late BIGINT, clock_skewed BIGINT, last_ts TIMESTAMP)""",
        """CREATE TABLE telemetry (
            looked_at TIMESTAMP, service VARCHAR, site VARCHAR, version VARCHAR, clients BIGINT, logged BIGINT,
            accepted BIGINT, rejected BIGINT, dropped BIGINT, missing BIGINT, pending BIGINT, overdue BIGINT,
            seen_at TIMESTAMP)""",
        "CREATE TABLE ignored (hour TIMESTAMP, kind VARCHAR, what VARCHAR, n BIGINT)",
        f"CREATE TABLE traffic_minute ({_TRAFFIC_COLUMNS})",
        f"CREATE TABLE traffic_hour ({_TRAFFIC_COLUMNS})",
        f"CREATE TABLE latency_minute ({_LATENCY_COLUMNS})",
        f"CREATE TABLE latency_hour ({_LATENCY_COLUMNS})",
        """CREATE TABLE feature_hour (
            bucket TIMESTAMP, service VARCHAR, model VARCHAR, feature VARCHAR, total BIGINT, missing BIGINT, nan BIGINT,
            infinite BIGINT, mismatched BIGINT, min DOUBLE, max DOUBLE, sum DOUBLE, sumsq DOUBLE)""",
        """CREATE TABLE epochs (
            epoch INTEGER, service VARCHAR, model VARCHAR, feature VARCHAR, kind VARCHAR, edges DOUBLE[],
            categories VARCHAR[], low DOUBLE, high DOUBLE, made_at TIMESTAMP, since TIMESTAMP, ended_at TIMESTAMP)""",
        "CREATE TABLE histogram_hour (bucket TIMESTAMP, epoch INTEGER, bin SMALLINT, n BIGINT)",
        "CREATE TABLE unseen_hour (bucket TIMESTAMP, epoch INTEGER, value VARCHAR, n BIGINT)",
        """CREATE TABLE reference_profiles (
            service VARCHAR, model VARCHAR, start_ts TIMESTAMP, end_ts TIMESTAMP, total BIGINT, made_at TIMESTAMP)""",
        "CREATE TABLE reference_bins (epoch INTEGER, bin SMALLINT, n BIGINT)",
        """CREATE TABLE reference_days (
            service VARCHAR, model VARCHAR, bucket TIMESTAMP, feature VARCHAR, kind VARCHAR, rows BIGINT,
            missing BIGINT, nan BIGINT, infinite BIGINT, mismatched BIGINT, unseen BIGINT, below BIGINT, above BIGINT,
            min DOUBLE, max DOUBLE, sum DOUBLE, sumsq DOUBLE)""",
        """CREATE TABLE kept_references (
            service VARCHAR, model VARCHAR, name VARCHAR, version INTEGER, origin VARCHAR, detail VARCHAR,
            start_ts TIMESTAMP, end_ts TIMESTAMP, total BIGINT, made_at TIMESTAMP, bins BLOB)""",
        """CREATE TABLE measured_models (
            service VARCHAR, model VARCHAR, reference_end TIMESTAMP, form INTEGER, learned VARCHAR)""",
        """CREATE TABLE measured_days (
            service VARCHAR, model VARCHAR, reference_end TIMESTAMP, late BOOLEAN, day INTEGER, channel VARCHAR,
            value DOUBLE, rows DOUBLE)""",
        """CREATE TABLE readings (
            analyzer VARCHAR, metric VARCHAR, service VARCHAR, model VARCHAR, subject VARCHAR, window_start TIMESTAMP,
            window_end TIMESTAMP, as_of TIMESTAMP, value DOUBLE, lower DOUBLE, upper DOUBLE, n BIGINT,
            maturity DOUBLE, reference DOUBLE, against VARCHAR)""",
    ),
    ("ALTER TABLE predictions RENAME TO prediction_rows",),
    (
        f"CREATE TABLE traffic_unsent_minute ({_UNSENT_TRAFFIC_COLUMNS})",
        f"CREATE TABLE traffic_unsent_hour ({_UNSENT_TRAFFIC_COLUMNS})",
        f"CREATE TABLE latency_unsent_minute ({_UNSENT_LATENCY_COLUMNS})",
        f"CREATE TABLE latency_unsent_hour ({_UNSENT_LATENCY_COLUMNS})",
    ),
)


def migrate(connection: duckdb.DuckDBPyConnection) -> int:
    """Bring the file to the newest schema, each step in one transaction; give the version.

    Refuses a file that a newer release wrote, rather than guess.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER)")
    row = connection.execute("SELECT max(version) FROM schema_version").fetchall()
    version = int(row[0][0] or 0)
    if version > len(STEPS):
        raise SettingsError(
            f"facts.duckdb has schema {version}, this release knows {len(STEPS)}: "
            "start the release that wrote it, or restore an older backup"
        )
    for number, statements in enumerate(STEPS[version:], start=version + 1):
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version VALUES (?)", [number])
        connection.execute("COMMIT")
    return len(STEPS)
