"""Every fault that a retrain must survive, by its number in the project's list, and where it is tested.

Here, each test named after its row, with real processes, signals, disks and a proxy on the wire:

    1            test_prepare         killed in data preparation
    2-6, 10-12   test_kills           killed or asked to stop anywhere in training, at every single write
    13 32 35 36  test_takeover        several owners, clocks that jump (13 on S3 as well: test_s3)
    14-17        test_resources       a loader worker, memory, the disk, the database's disk
    18-20 40     test_damage          rotten, cut, missing bytes; power loss
    21-26        test_s3              S3 slow, gone, lossy, unwilling; and a fresh machine that goes on
    27-29 34     test_mlflow          MLflow down, hanging, losing answers; SQLite locked, its writer killed
    -            test_resume          every place of an epoch, accumulated or not, with and without loader workers
    38           test_changes         a changed configuration, library, data set; what `compatible` may do
    55           test_left_behind     a retrain stopped or killed: its Prefect server, its trainer, its caller's pipe

Elsewhere:

    5            tests/checkpoints/test_crashes.py     each write of a commit, before and after it, on two stores
    7            tests/release/test_kills.py           killed in evaluation: the same metrics
    8 9          tests/release/test_kills.py           killed after any write from evaluation to the champion's pointer
    9            tests/release/test_promote.py         the old champion or the new one, never none or two
    26           tests/store/test_s3.py                every error code of credentials and permissions, at once
    35           tests/checkpoints/test_prune.py       a prune under a clock that jumps
    36           tests/release/test_kills.py           several hand-overs at once: one version, one champion
    37           tests/flows/test_retrain.py           the same retrain again: no second version
    38           tests/checkpoints/test_related.py     every field by name
    -            tests/training/test_two_processes.py  two processes of one training, killed in whole or in part
    56           tests/test_connections.py             hundreds of half-open connections; callers that go away
    57           tests/cli/test_embedding.py           full disk, limit of file sizes, read-only home: a reason at once
    57           tests/cli/test_private.py             the same of every command
    58           tests/cli/test_embedding.py           several first Prefect servers of a home, one of them killed
    58           tests/tracking/test_faults.py         several writers of one row of MLflow's SQLite
    59           tests/cli/test_embedding.py           a page of another origin, a name pointed at loopback, no login
    39           tests/training/test_process.py        a loss that is not finite; tests/test_promotion.py: bad metrics

Not here: 30, 31 and the server's half of 32 and 37 need a Prefect server, 33 needs PostgreSQL; they belong to the tests
of the stack.
"""
