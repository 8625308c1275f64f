"""Random clients and random faults, by a seed; then every client's history is held against every topic and table.

`make faults SEED=N MINUTES=M`. What is done: `schedule.py` has the kinds of faults, `clients.py` what companies send.

The schedule of faults, and what each client sends, follow from the seed. When a fault hits, and what is in hand then,
does not: the same seed does the same things to other moments of the services.
"""
