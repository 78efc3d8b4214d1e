"""Columns of a run between numpy and arrow. pyarrow's own conversions import pandas, which takes longer than a small run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def to_arrow(values: NDArray) -> pa.Array:
    """What `pa.array` gives for numbers (nan stays nan), truth values and words (None is a null); of rows of numbers, lists."""
    values = np.asarray(values)
    if values.ndim > 1:
        return pa.array(list(values))
    if values.dtype.kind in "iuf":
        data = np.ascontiguousarray(values)
        return pa.Array.from_buffers(pa.from_numpy_dtype(data.dtype), len(data), [None, pa.py_buffer(data)])
    if values.dtype.kind == "b":
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    if values.dtype.kind == "U" or all(isinstance(value, str | None) for value in values):
        words = pa.lib.StringBuilder()
        words.append_values(values.tolist())
        return words.finish()
    return pa.array(values)


def to_numpy(column: pa.ChunkedArray) -> NDArray:
    """What `column.to_numpy()` gives: words as objects, read-only numbers where they need no copy."""
    kind, numeric = column.type, pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if column.null_count == 0 and numeric:
        return np.from_dlpack(column.combine_chunks())
    if column.null_count == 0 and pa.types.is_boolean(kind):
        return np.from_dlpack(column.cast(pa.uint8()).combine_chunks()).astype(np.bool_)
    if column.null_count == 0 and pa.types.is_string(kind):
        encoded = column.dictionary_encode().combine_chunks()
        return np.array(encoded.dictionary.to_pylist(), dtype=object)[np.from_dlpack(encoded.indices)]
    return column.to_numpy()
