from collections.abc import Iterator

import pytest

from tests.patient.patient_service import Service, open_service


@pytest.fixture(scope="session")
def service(patient_database: str) -> Iterator[Service]:
    with open_service(patient_database) as service:
        yield service
