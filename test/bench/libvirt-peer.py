"""The C library's side of the libvirt benchmark: python3-libvirt, one request per line on stdin, one JSON line per answer.

A request is "CALLERS CALLS": that many threads share the calls (1: no thread at all). The call is virDomainGetState.
"""

import json
import sys
import threading
import time

import libvirt


def work(domain, calls, latencies):
    clock = time.perf_counter
    for _ in range(calls):
        start = clock()
        domain.state()
        latencies.append(clock() - start)


def main():
    connection = libvirt.open(sys.argv[1])
    domain = connection.lookupByName("test")
    for line in sys.stdin:
        callers, calls = (int(word) for word in line.split())
        latencies = [[] for _ in range(callers)]
        cpu = time.process_time()
        start = time.perf_counter()
        if callers == 1:
            work(domain, calls, latencies[0])
        else:
            threads = [threading.Thread(target=work, args=(domain, calls // callers, each)) for each in latencies]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
        merged = sorted(value for each in latencies for value in each)
        print(json.dumps({
            "rate": len(merged) / seconds,
            "p50us": merged[len(merged) // 2] * 1e6,
            "p99us": merged[len(merged) * 99 // 100] * 1e6,
            "cpuUs": cpu / len(merged) * 1e6,
        }), flush=True)


main()
