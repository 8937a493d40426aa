"""What is locked while it is read."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from apps.kit.database import DatabaseSettings, open_database
from apps.patient.search.index.index_rows import INDEX_VERSION
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.reading import select_outdated
from apps.patient.storage.reindexing import Reindexing
from apps.patient.storage.writing import TextCache, Writer
from tests.bench.record import BASE
from tests.patient.fhir.test_bundle_cases import entry, exchange
from tests.patient.patient_service import Service
from tests.patient.relay.outbox import until
from tests.patient.storage.test_locks import (
    _DELETE,
    holding,
    observation,
    started,
    wait_until_blocked,
)
