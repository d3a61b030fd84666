"""What the demo, the benchmark and the end-to-end tests share: the lab, and the programs that run in it."""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent  # of the checkout
