"""Run the linking service as this process."""

from services.linking.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
