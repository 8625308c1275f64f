"""Run the reporting service as this process."""

from services.reporting.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
