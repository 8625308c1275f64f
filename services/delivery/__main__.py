"""Run the delivery service as this process."""

from services.delivery.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
