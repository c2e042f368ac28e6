"""The scores that a schema allows."""

from __future__ import annotations

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from errors import InputError
from trainer import features


def score_domain(schema_file: str) -> tuple[float | None, float | None]:
    """The least and the greatest score by the `float_domain` of feature `score`; None where there is no bound.

    A schema that is not there has none: what imports it says so.

    Raises:
      InputError: the file cannot be read as a schema.
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
