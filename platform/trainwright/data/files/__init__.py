"""Data from files: parquet, arrow and csv under any fsspec URL.

Nothing is imported here, so that jobs without files do not wait for pyarrow.
"""
