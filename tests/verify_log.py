"""Checks what `mp169 log export` prints, by the rule in proto/mp169/common/v1/log.proto.

    mp169 log export | python3 tests/verify_log.py

Prints each log with its last event and hash if it is whole, or with the first event that does not
fit; then it ends with 1.
"""
import hashlib, json, sys

sha256 = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
number = lambda text: int(text).to_bytes(8, "big")
logs, misfits = {}, {}
for event in map(json.loads, sys.stdin):
    log = event["log"]
    if log not in logs:
        logs[log] = 0, sha256(b"mp169 log\0", log.encode(), b"\0", number(event["epoch"]))
    last, hash_before = logs[log]
    hash_here = sha256(hash_before, number(last + 1), bytes.fromhex(event["event"]))
    fits = (int(event["sequence"]) == last + 1
            and event["previous_hash"] == hash_before.hex()
            and event["hash"] == hash_here.hex()
            and event["recorded_time"] == (event["decoded"] or {}).get("recordedTime"))
    if fits and log not in misfits:
        logs[log] = last + 1, hash_here
    else:
        misfits.setdefault(log, last + 1)
for log, (last, hash_last) in logs.items():
    print(log, f"does not fit at {misfits[log]}" if log in misfits else f"{last} {hash_last.hex()}")
sys.exit(1 if misfits or not logs else 0)
