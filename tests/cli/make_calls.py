#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a small made-up recording: calls.jsonl, gauges.jsonl and truth.jsonl, the same for a seed.

usage: make_calls.py DIR SEED MINUTES [ATTACK_START ATTACK_SECONDS FACTOR]

Four services behind an edge, Poisson arrivals with a day of five minutes. The attack multiplies the
calls of one route.
"""
import json
import math
import os
import random
import sys

START_NS = 1_764_000_000 * 10**9
DAY_S = 300
ROUTES = [("GET /", "web", 4.0), ("GET /search", "search", 2.0), ("POST /login", "auth", 1.0)]


def call(t, src, dst, route, side, status, duration_us, **more):
    return {"end_ns": START_NS + int(t * 1e9), "src": src, "dst": dst, "route": route, "side": side,
            "status": status, "duration_us": duration_us, **more}


def request(rnd, t, route, service, client):
    """One visit through the edge, as both sides saw it."""
    us = int(2000 * math.exp(rnd.gauss(0, 0.3)))
    who = {"client": client, "group": client.rsplit(".", 1)[0] + ".0/24"}
    failed = service == "auth" and rnd.random() < 0.08
    status = 401 if failed else 500 if rnd.random() < 0.002 else 200
    if service == "auth":
        who["flags"] = ["login", "login_failed"] if failed else ["login"]
        who["user"] = f"u{rnd.randrange(200)}"
    yield call(t, "edge", service, route, "server", status, us, **who)
    yield call(t + 2e-4, "edge", service, route, "client", status, us + 200, **who)
    yield call(t + 3e-4, "external", "edge", route, "server", status, us + 400, bytes_in=300,
               bytes_out=2000, **who)
    if rnd.random() < 0.7:
        inner = int(800 * math.exp(rnd.gauss(0, 0.3)))
        yield call(t - 5e-4, service, "db", "GET /row", "server", 200, inner)
        yield call(t - 4e-4, service, "db", "GET /row", "client", 200, inner + 100)


def main():
    out, seed, minutes = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    attack = [float(x) for x in sys.argv[4:7]]
    rnd = random.Random(seed)
    os.makedirs(out, exist_ok=True)
    calls, gauges = [], []
    for route, service, rate in ROUTES:
        t = 0.0
        while t < minutes * 60:
            now = rate * (1 + 0.6 * math.sin(2 * math.pi * t / DAY_S))
            hit = attack and service == "search" and attack[0] <= t < attack[0] + attack[1]
            now *= attack[2] if hit else 1
            t += rnd.expovariate(now)
            foreign = hit and rnd.random() < 0.5
            client = f"127.{200 if foreign else 20}.{rnd.randrange(20)}.{rnd.randrange(1, 20)}"
            calls.extend(request(rnd, t, route, service, client))
    for second in range(int(minutes * 60)):
        for node in ("edge", "web", "search", "auth", "db"):
            gauges.append({"time_ns": START_NS + second * 10**9, "producer": node + "-1",
                           "node": node, "open": 4 + rnd.randrange(3), "active": rnd.randrange(3),
                           "idle": 3, "in_flight": rnd.randrange(3)})
    calls.sort(key=lambda c: c["end_ns"])
    for name, rows in (("calls", calls), ("gauges", gauges)):
        with open(f"{out}/{name}.jsonl", "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
    with open(f"{out}/truth.jsonl", "w", encoding="utf-8") as file:
        if attack:
            file.write(json.dumps({
                "id": 1, "kind": "attack", "class": "http_flood",
                "target": {"node": "search", "edge": ["edge", "search", "GET /search"]},
                "start_ns": START_NS + int(attack[0] * 1e9),
                "end_ns": START_NS + int((attack[0] + attack[1]) * 1e9),
                "strength": attack[2] - 1}) + "\n")


main()
