"""Run the portal as this process."""

from services.portal.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
