"""The range of scores in a schema."""

from __future__ import annotations

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from errors import InputError
from trainer import features


def score_domain(schema_file: str) -> tuple[float | None, float | None]:
    """Returns the minimum and maximum of the `float_domain` of feature `score`, or None where there is no bound.

    A missing schema has no bounds. The schema importer reports it.

    Raises:
      InputError: the file is not a valid schema.
    """
    try:
        with tf.io.gfile.GFile(schema_file) as source:
            schema = text_format.Parse(source.read(), schema_pb2.Schema())
    except tf.errors.NotFoundError:
        return None, None
    except (text_format.ParseError, UnicodeDecodeError, tf.errors.OpError) as error:
        raise InputError(f"schema: {schema_file} cannot be read as a schema: {error}") from None
    for feature in schema.feature:
        if feature.name == features.SCORE and feature.HasField("float_domain"):
            domain = feature.float_domain
            least = float(domain.min) if domain.HasField("min") else None
            return least, float(domain.max) if domain.HasField("max") else None
    return None, None
