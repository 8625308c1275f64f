"""Run the suggestions service as this process."""

from services.suggestions.app import build
from shared.messaging.service import run

if __name__ == "__main__":
    run(build)
