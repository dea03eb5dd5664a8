"""How large a world may be: a seed of many registries, the time of a read, the memory of the process. Measured and printed,
never asserted: run by `make scale`, on an otherwise idle machine.

Usage: AZURE_SIM=target/debug/azure-sim python conformance/scale.py [number of registries]"""

import http.client
import pathlib
import statistics
import sys
import time
import urllib.parse

from simulator import ML, Simulator, group, resource

READS = 500


def seed(registries):
    lines = [f"  - {{name: reg{n:05}, subscription: ml, resourceGroup: ml}}" for n in range(registries)]
    return "throttling: {enabled: false}\n", "\n".join(lines) + "\n"


def memory(process):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return kib / 1024


def times(connection, path, headers, reads=READS):
    """Milliseconds of each read, and the size of the last answer."""
    found = []
    for _ in range(reads):
        begun = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        found.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200, (path, answer.status, body[:300])
    return sorted(found), len(body)


def main():
    registries = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    head, entries = seed(registries)
    world = (pathlib.Path(__file__).parent / "world.yaml").read_text()
    # After those of the small world, before what follows them.
    before, _, after = world.partition("  - {name: groesse")
    text = before + entries + "  - {name: groesse" + after
    begun = time.perf_counter()
    azure = Simulator(head, world=text, patience=600)
    print(f"{registries} registries: started after {time.perf_counter() - begun:.1f} s, {memory(azure.process.pid):.0f} MiB")
    connection = http.client.HTTPSConnection(urllib.parse.urlsplit(azure.base).netloc, context=azure.tls)
    headers = {"Authorization": f"Bearer {azure.token()}"}
    kind = "Microsoft.MachineLearningServices/registries"
    for what, path, version, reads in [
        ("a registry", resource(kind, f"reg{registries // 2:05}", "ml", ML), "2025-12-01", READS),
        ("a network", resource("Microsoft.Network/virtualNetworks", "hub", "network"), "2024-05-01", READS),
        ("a page of registries", f"{group('ml', ML)}/providers/{kind}", "2025-12-01", 20),
        ("a page of all resources", f"/subscriptions/{ML}/resources", "2021-04-01", 20),
    ]:
        found, size = times(connection, f"{path}?api-version={version}", headers, reads)
        ninety = found[int(len(found) * 0.9)]
        print(f"{what:24} median {statistics.median(found):8.2f} ms, 90th {ninety:8.2f} ms, {size / 1024:7.1f} KiB")
    print(f"afterwards {memory(azure.process.pid):.0f} MiB")
    azure.close()


if __name__ == "__main__":
    main()
