"""Runs, which are kept as tables in Parquet: an extra brings what writes those."""

from losiko_torch.extras import needs

needs("pyarrow", "a run")
