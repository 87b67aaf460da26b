import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--add-golden", action="store_true", help="write the golden files of events that have none yet")
