"""Run the linking service as this process."""

from shared.runtime.process import run

if __name__ == "__main__":
    run("linking")
