"""Every fault that a retrain must survive, by its number in the project's list, and where it is tested.

Here, each test named after its row, with real processes, signals, disks and a proxy on the wire:

    1            test_prepare         killed in data preparation
    60 61        test_prepare_again   killed in a preparation of some new rows; a cache that is half-written or gone
    2-6, 10-12   test_kills           killed or asked to stop anywhere in training, at every single write
    13 32 35 36  test_takeover        several owners, clocks that jump (13 on S3 as well: test_s3)
    44           test_takeover        prunes by clocks that are days off while a training writes
    14-17        test_resources       a loader worker, memory, the disk, the database's disk
    18-20 40     test_damage          rotten, cut, missing bytes; power loss
    43 45        test_damage          crafted documents whose check fits; older ones put back
    21-26        test_s3              S3 slow, gone, lossy, unwilling; and a fresh machine that goes on
    41 42        test_s3              bodies of S3's answers that break off or stop
    27-29 34     test_mlflow          MLflow down, hanging, losing answers; SQLite locked, its writer killed
    -            test_resume          every place of an epoch, accumulated or not, with and without loader workers
    48           test_planted         pickles planted in a checkpoint whose hashes are right
    38           test_changes         a changed configuration, library, data set; what `compatible` may do
    62 63        test_warm            a start from the champion: killed at any write; a parent damaged, forged, gone
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
    41 42        tests/store/test_s3.py, test_radosgw.py   every way to read, cut, ended and stalled inside the body
    41           tests/release/test_fetch.py           the same for the journal, manifests, files and links of a release
    43           tests/release/test_layout.py, tests/checkpoints/test_records.py, tests/data/test_manifest.py,
                 tests/model/test_load.py, tests/training/test_run.py     each document, fuzzed
    44           tests/checkpoints/test_prune.py, tests/store/test_folder.py     prunes, sweeps, clocks ahead and behind
    45           tests/release/test_replay.py          every object in the place of every other one of its kind
    46           tests/release/test_overlap.py         promotions that overlap, stall, die: a person alone counts
    46           tests/release/test_many_promotions.py the same with many processes on a real MLflow
    47           tests/release/test_journal.py         each entry of the journal lost, damaged, replaced; and repaired
    48           tests/serving/test_planted.py         pickles planted in a model, a base, a release, MLflow's package
    49           tests/release/test_pull_while_promoting.py  readers see one whole release while champions change
    50           tests/mlflow_backend/test_body_limit.py      bodies that are too large, in chunks, slow, many at once
    50           tests/serving/test_serve_memory.py    the same on a real server: its memory
    51           tests/serving/test_scoring_server.py  no answer repeats what was sent
    52           tests/pipeline/test_rot.py            every file of a finished retrain rots, the caches among them
    52           tests/release/test_refs.py            a pulled folder, or a release in the cache, that was changed
    53           tests/pipeline/test_rot.py            every part of every small document of the store rots
    54           tests/flows/test_retrain.py           another base or tokenizer than the run was trained with
    56           tests/test_connections.py             hundreds of half-open connections; callers that go away
    57           tests/cli/test_embedding.py           full disk, limit of file sizes, read-only home: a reason at once
    57           tests/cli/test_private.py             the same of every command
    58           tests/cli/test_embedding.py           several first Prefect servers of a home, one of them killed
    58           tests/mlflow_backend/test_faults.py         several writers of one row of MLflow's SQLite
    61           tests/data/test_incremental.py        each piece of the cache changed, cut, swapped, gone
    59           tests/cli/test_embedding.py           a page of another origin, a name pointed at loopback, no login
    62           tests/training/test_warm_process.py   the same in trainers of one and of two processes
    39           tests/training/test_process.py        a loss that is not finite; tests/test_promotion.py: bad metrics

Not here: 30, 31 and the server's half of 32 and 37 need a Prefect server, 33 needs PostgreSQL; they belong to the tests
of the stack.
"""
