"""What torch.distributed does at its start: everybody meets at MASTER_ADDR:MASTER_PORT, here to add up the ranks."""

import os
import socket
import time

NAMES = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "RANK", "LOCAL_RANK")
for name in NAMES:
    print(f"{name}={os.environ[name]}")

rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))


def join() -> socket.socket:
    """The meeting point may open a moment after we come."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(place, timeout=60)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if rank == 0:
    with socket.create_server(("", place[1])) as server:
        guests = [server.accept()[0] for _ in range(world - 1)]
    total = rank + sum(int(guest.recv(16)) for guest in guests)
    for guest in guests:
        guest.sendall(str(total).encode())
        guest.close()
else:
    with join() as connection:
        connection.sendall(str(rank).encode())
        total = int(connection.recv(16))

assert total == sum(range(world)), total
print(f"rank {rank} of {world}: the ranks add up to {total}")
