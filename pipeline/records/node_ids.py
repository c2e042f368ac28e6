"""The ids of the nodes of the graph. Records, reports and runners find nodes by these ids."""

from __future__ import annotations

SCHEMA = "ImportSchemaGen"
EXAMPLE_GEN = "PairExampleGen"
STATISTICS_GEN = "StatisticsGen"
VALIDATOR = "ExampleValidator"
LAST_ACCEPTED = "LastAcceptedData"
GATE = "DataGate"
TRANSFORM = "Transform"
BASE_MODEL = "BaseModel"  # only with train.warm_start
TUNER = "Tuner"  # only with a section `tune`
TRAINER = "Trainer"
LAST_BLESSED = "LatestBlessedModel"
EVALUATOR = "Evaluator"
CANARY = "ServingCanary"
REPLAY = "ReplayCheck"  # only with publish.replay
CARD = "ModelCard"
PUSHER = "Pusher"
BATCH_LISTS = "BatchLists"  # only with a section `batch`
