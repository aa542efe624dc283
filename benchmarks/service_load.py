"""Load on the CDS service: patient-view with a 200-resource prefetch, at a fixed rate, and the same against an echo of the same body.

Requests are sent when they are due, whether or not earlier ones were answered, and timed from that moment. The echo is a minimal FastAPI
application that reads the JSON and sends it back: the limit of what this server can do with such a body.
Usage: python benchmarks/service_load.py [--rate 50] [--seconds 60] [--workers CORES] [--together 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

ROOT = Path(__file__).parents[1]
CASES = sorted((ROOT / "examples" / "published_cases" / "bundles").glob("*.json"))
RESOURCES, BODIES = 200, 100
PATH = "/cds-services/calcinosis-patient-view"
P99_BAR, RATIO_BAR = 100.0, 3.0
ECHO = """
import orjson
from fastapi import FastAPI, Request, Response
app = FastAPI()
@app.post("/cds-services/calcinosis-patient-view")
async def echo(request: Request):
    return Response(orjson.dumps(orjson.loads(await request.body())), media_type="application/json")
@app.get("/health/ready")
async def ready():
    return {}
"""
LABS = [  # LOINC, text, unit, lowest and highest value
    ("17861-6", "Calcium", "mg/dL", 7.5, 11.5), ("2777-1", "Phosphate", "mg/dL", 2.0, 7.0), ("1751-7", "Albumin", "g/dL", 2.5, 4.8),
    ("2160-0", "Creatinine", "mg/dL", 0.5, 6.0), ("2731-8", "Parathyroid hormone", "pg/mL", 10, 600),
    ("6768-6", "Alkaline phosphatase", "U/L", 40, 300),
    ("1988-5", "C-reactive protein", "mg/L", 0, 80), ("718-7", "Haemoglobin", "g/dL", 8, 16), ("2157-6", "Creatine kinase", "U/L", 30, 900),
    ("62292-8", "Vitamin D", "ng/mL", 8, 60),
]  # fmt: skip


def body(place: int) -> bytes:
    """A published case, filled up with dated laboratory results to 200 resources."""
    chance = random.Random(place)
    resources = [entry["resource"] for entry in json.loads(CASES[place % len(CASES)].read_bytes())["entry"]]
    patient = next(each["id"] for each in resources if each["resourceType"] == "Patient")
    for number in range(RESOURCES - len(resources)):
        code, text, unit, low, high = LABS[number % len(LABS)]
        day = f"20{chance.randint(18, 24)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T08:{chance.randint(0, 59):02}:00Z"
        resources.append({
            "resourceType": "Observation", "id": f"lab-{number}", "status": "final", "subject": {"reference": f"Patient/{patient}"},
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": text}], "text": text}, "effectiveDateTime": day,
            "valueQuantity": {
                "value": round(chance.uniform(low, high), 2), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit,
            },
        })  # fmt: skip
    labs = [each for each in resources if each["resourceType"] == "Observation"]
    rest = [each for each in resources if each["resourceType"] not in ("Observation", "Patient")]
    prefetch = {
        "patient": next(each for each in resources if each["resourceType"] == "Patient"),
        "laboratory": {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": each} for each in labs]},
        "conditions": {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": each} for each in rest]},
    }
    call = {
        "hook": "patient-view", "hookInstance": str(uuid4()), "context": {"userId": "Practitioner/p", "patientId": patient},
        "prefetch": prefetch,
    }  # fmt: skip
    return json.dumps(call).encode()


@contextmanager
def server(*command: str) -> Any:
    """A server process on a free port; yields (URL, process)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx2.get(url + "/health/ready").status_code == 200:
                    break
            except httpx2.HTTPError:
                time.sleep(0.2)
        else:
            raise SystemExit(f"{command[0]} did not start")
        yield url, process
    finally:
        process.terminate()
        process.wait(30)


def memory(pid: int) -> float:
    """Resident MB of a process and its children."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if int(folder.name) == pid or int(values.get("PPid", 0)) == pid:
            total += int(values.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


def processor_seconds(pid: int) -> float:
    """Used by a process and its children so far; unlike latency, it hardly depends on what else the machine does."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) == pid or int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


async def load(url: str, pid: int, bodies: list[bytes], rate: float, seconds: float) -> dict[str, Any]:
    times: list[float] = []
    errors: list[str] = []
    cards = 0

    async def one(client: httpx2.AsyncClient, due: float, content: bytes) -> None:
        nonlocal cards
        try:
            response = await client.post(PATH, content=content, headers={"Content-Type": "application/json"})
            if response.status_code != 200:
                errors.append(str(response.status_code))
            cards += response.content.count(b'"overrideReasons"')
        except httpx2.HTTPError as error:
            errors.append(type(error).__name__)
        times.append((time.perf_counter() - due) * 1000)

    sizes = []
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        for content in bodies[:20]:  # warm
            await one(client, time.perf_counter(), content)
        times.clear()
        used = processor_seconds(pid)
        start, tasks = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            due = start + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(client, due, bodies[number % len(bodies)])))
            if number % int(rate * 5) == 0:
                sizes.append(memory(pid))
        await asyncio.gather(*tasks)
        sizes.append(memory(pid))
        used = processor_seconds(pid) - used
    ordered = sorted(times)
    return {
        "n": len(times), "errors": errors, "cards": cards, "p50": statistics.median(ordered), "p95": ordered[int(0.95 * len(ordered))],
        "p99": ordered[int(0.99 * len(ordered))], "max": ordered[-1], "memory": sizes, "cpu": used * 1000 / len(times),
    }  # fmt: skip


def show(name: str, found: dict[str, Any]) -> None:
    sizes = found["memory"]
    print(
        f"{name:>8}: {found['n']} requests, {len(found['errors'])} errors, p50 {found['p50']:.1f} ms, p95 {found['p95']:.1f} ms, "
        f"p99 {found['p99']:.1f} ms, max {found['max']:.1f} ms, {found['cpu']:.1f} ms of processor each, "
        f"memory {sizes[1]:.0f} -> {sizes[-1]:.0f} MB ({found['cards']} cards)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--together", type=int, default=8)
    options = parser.parse_args()
    bodies = [body(place) for place in range(BODIES)]
    size = statistics.mean(map(len, bodies)) / 1000
    print(f"{options.rate:g} requests/s for {options.seconds:g} s, {RESOURCES} resources, {size:.0f} kB each")
    print(f"{os.cpu_count()} cores, load of the machine before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "echo_app.py").write_text(ECHO)
        with server(sys.executable, "-m", "uvicorn", "echo_app:app", "--app-dir", folder, "--no-access-log") as (url, process):
            echo = asyncio.run(load(url, process.pid, bodies, options.rate, options.seconds))
        show("echo", echo)
        settings = Path(folder, "settings.yaml")
        audit = Path(folder, "audit.jsonl")
        settings.write_text(f"together: {options.together}\naudit_log: {audit}\nrequests_per_second: 10000\nburst: 10000\n")
        command = [sys.executable, "-m", "calcinosis.cli", "serve", "--settings", str(settings), "--workers", str(options.workers)]
        with server(*command) as (url, process):
            found = asyncio.run(load(url, process.pid, bodies, options.rate, options.seconds))
        show("service", found)
    growth = found["memory"][-1] / found["memory"][1]
    ratio = found["p99"] / echo["p99"]
    print(f"bar: p99 <= {P99_BAR:g} ms: {found['p99']:.1f} ms ({'met' if found['p99'] <= P99_BAR else 'NOT met'})")
    print(f"bar: no errors: {len(found['errors'])} {sorted(set(found['errors']))} ({'met' if not found['errors'] else 'NOT met'})")
    print(f"bar: flat memory: x{growth:.2f} over the run ({'met' if growth <= 1.05 else 'NOT met'})")
    print(f"bar: p99 against the echo <= {RATIO_BAR:g}: {ratio:.1f} ({'met' if ratio <= RATIO_BAR else 'NOT met'})")
    print(f"processor: {options.rate * found['cpu'] / 1000:.2f} cores at {options.rate:g}/s (echo {options.rate * echo['cpu'] / 1000:.2f})")
    print(f"load of the machine after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
