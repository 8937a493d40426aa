from apps.kit.database import POOL_SIZE, read_database_settings
from apps.kit.settings import Environment

URL = {"PATIENT_DATABASE_URL": "postgresql://patient@host:5432/patient"}


def test_a_pool_is_as_large_as_its_place_says() -> None:
    assert read_database_settings(Environment(URL), "patient").pool_size == POOL_SIZE
    assert (
        read_database_settings(Environment({**URL, "DATABASE_POOL_SIZE": "3"}), "patient").pool_size
        == 3
    )
