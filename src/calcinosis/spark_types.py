"""What Spark calls things: the types of our tables, and the names of files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import polars as pl
import pyarrow as pa

from calcinosis.events import Schema

_SCHEME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/")
_OLD: Final = pl.CompatLevel.oldest()  # no string views: older versions of Spark do not read them
_SIGNED: Final = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.large_string(): pa.string()}
_DDL: Final = {
    pa.int16(): "smallint", pa.int32(): "int", pa.int64(): "bigint", pa.float64(): "double", pa.bool_(): "boolean", pa.date32(): "date",
    pa.timestamp("us"): "timestamp_ntz", pa.string(): "string", pa.binary(): "binary",
}  # fmt: skip


def arrow_schema(schema: Schema) -> pa.Schema:
    """A schema of ours with the types that Spark has: numbers without a sign take the next larger type."""
    ours = pl.DataFrame(schema=schema).to_arrow(compat_level=_OLD).schema
    return pa.schema([pa.field(field.name, _signed(field.type)) for field in ours])


def arrow_table(frame: pl.DataFrame, schema: Schema) -> pa.Table:
    """The columns of ``schema``, ready for Spark."""
    typed = frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
    return typed.to_arrow(compat_level=_OLD).cast(arrow_schema(schema))


def ddl(schema: Schema) -> str:
    """A schema of ours in Spark's words."""
    return ", ".join(f"`{field.name}` {_ddl(field.type)}" for field in arrow_schema(schema))


def _signed(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_signed(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _signed(field.type)) for field in kind])
    return _SIGNED.get(kind, kind)


def _ddl(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"array<{_ddl(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(f"`{field.name}`: {_ddl(field.type)}" for field in kind) + ">"
    return _DDL[kind]


# --- files -------------------------------------------------------------------------------------------------


def uri(path: str) -> str:
    """A path for Spark; one without a scheme is a file of this machine (or of the file system that all machines share)."""
    return path if _SCHEME.match(path) else "file:" + str(Path(path).absolute())


def globbed(path: str) -> str:
    """The same for readers, which take some characters for wildcards."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", uri(path))


def shown(path: str) -> str:
    """A path as users write it."""
    return re.sub(r"^file:/+", "/", path)


def decoded(path: str) -> str:
    """A path of ``_metadata.file_path`` or of an error, which is an escaped URI, as users write it."""
    return shown(unquote(path))
