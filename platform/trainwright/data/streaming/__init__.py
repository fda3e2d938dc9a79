"""Tables beyond memory: files read by row group while training goes on.

Nothing is imported here, so that jobs without files do not wait for pyarrow.
"""
