"""Run the suggestions service as this process."""

from shared.runtime.process import run

if __name__ == "__main__":
    run("suggestions")
