"""Run the permission service as this process."""

from services.permissions.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
