"""Set before torch is imported: tiny models on several threads wait for each other more than they compute."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
