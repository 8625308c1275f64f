"""Run the claims service as this process."""

from services.claims.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
