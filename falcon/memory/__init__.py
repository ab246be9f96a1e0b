"""Memory: experiences, long-term and short-term memory, recall and seeding."""

from falcon.memory.encoder import Encoder, HashEncoder, SentenceEncoder, make_encoder
from falcon.memory.experience import Experience, Origin, TaskDetails
from falcon.memory.export import to_parquet
from falcon.memory.long_term import LongTermMemory
from falcon.memory.mutation import corrupt
from falcon.memory.recall import recall_block, recall_text
from falcon.memory.search import Hit, RecallQuery
from falcon.memory.seeding import demonstrations
from falcon.memory.short_term import ShortTermMemory
from falcon.memory.text import text_of

__all__ = [
    "Encoder",
    "Experience",
    "HashEncoder",
    "Hit",
    "LongTermMemory",
    "Origin",
    "RecallQuery",
    "SentenceEncoder",
    "ShortTermMemory",
    "TaskDetails",
    "corrupt",
    "demonstrations",
    "make_encoder",
    "recall_block",
    "recall_text",
    "text_of",
    "to_parquet",
]
